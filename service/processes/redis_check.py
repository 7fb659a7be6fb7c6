"""Tries, at the start, everything that the service needs of Redis."""

import asyncio
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from config.settings import Settings
from service.datastores.failure_reason import failure_reason
from service.datastores.redis import REDIS_ERRORS, connect, database_number, is_cluster
from service.http.window_sync import spread
from service.realtime.addresses import Addresses, user_address

REDIS_TIMEOUT = 3.0
"""Seconds for everything, at most: the service starts without Redis. One attempt to connect takes two."""
MESSAGE_TIMEOUT = 1.0
SCRIPT = "return redis.call('SET', KEYS[1], 1, 'PX', 1)"
"""Rate limits count with scripts."""


async def redis_problem(settings: Settings) -> str | None:
    """Return why Redis cannot do what the service needs, in one line without secrets; None if it can."""
    url, tag, limits_tag = settings.redis_url or "", settings.redis_tag, settings.redis_limits_tag
    clients: list[Redis] = []
    try:
        async with asyncio.timeout(REDIS_TIMEOUT):
            for each in (tag, limits_tag):
                clients.append(connect(url, each))
            redis, limits = clients
            await _store(redis, f"{tag}:check")
            await cast(Any, limits.eval(SCRIPT, 1, f"{limits_tag}:check"))
            if await is_cluster(redis):
                spread_tag, *_ = spread(limits_tag)
                clients.append(connect(url, spread_tag))
                await cast(Any, clients[-1].eval(SCRIPT, 1, f"{spread_tag}:check"))
            addresses = Addresses(tag, database_number(redis))
            await _publish(redis, addresses.control.decode() + ":check")
            await _use_address(url, addresses.channel(user_address("check")).decode(), clients)
            return await _eviction(redis)
    except REDIS_ERRORS as error:
        return failure_reason(error, url)
    finally:
        for client in clients:
            await client.aclose()


async def _store(redis: "Redis", key: str) -> None:
    pipeline = redis.pipeline(transaction=True)
    pipeline.set(key, 1, ex=1)
    pipeline.mget([key])
    pipeline.getdel(key)
    pipeline.sadd(key, "member")
    pipeline.scard(key)
    pipeline.srandmember(key, 1)
    pipeline.smembers(key)
    pipeline.srem(key, "member")
    pipeline.delete(key)
    await pipeline.execute()


async def _use_address(url: str, channel: str, clients: list[Redis]) -> None:
    """Write and publish as for an address, of which a cluster has them on each node."""
    redis = connect(url, channel[: channel.index("}") + 1])
    clients.append(redis)
    await cast(Any, redis.eval(SCRIPT, 1, channel))
    await _publish(redis, channel)


async def _publish(redis: "Redis", channel: str) -> None:
    """Publish a message and receive it. Raises one of REDIS_ERRORS."""
    sharded = await is_cluster(redis)
    pubsub = redis.pubsub()
    try:
        await (pubsub.ssubscribe if sharded else pubsub.subscribe)(channel)
        if await pubsub.get_message(timeout=MESSAGE_TIMEOUT):
            await (redis.spublish if sharded else redis.publish)(channel, b"")
            if await pubsub.get_message(timeout=MESSAGE_TIMEOUT):
                return
        raise TimeoutError("a published message does not arrive")
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def _eviction(redis: "Redis") -> str | None:
    """Return a warning if Redis deletes keys when its memory is full: among them are the revoked sessions."""
    try:
        memory = await redis.info("memory")
    except ResponseError:
        # Some providers forbid INFO.
        return None
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        return f"its maxmemory-policy is {policy} and must be noeviction, for it may delete the list of ended sessions"
    return None
