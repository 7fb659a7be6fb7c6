"""Deployments that share a Redis: the prefix is a part of every name."""

import json
import re

from redis.asyncio import Redis
from websockets.asyncio.client import connect

from service.realtime.addresses import Addresses, user_address
from tests.conftest import Datastores, Run
from tests.running import Server

PREFIX = "team-a"
KINDS = {"bus", "deletions", "limits", "presence", "push", "search", "ticket", "revoked"}
"""Of keys and channels; `deletions`, `push` and `search` are leases."""


async def test_every_key_and_channel_has_the_prefix(run: Run, redis: Redis, datastores: Datastores) -> None:
    """Those of rate limits, presence, tickets and revocations, and that of the bus. `redis` empties the database."""
    server = run(REDIS_PREFIX=PREFIX, REDIS_URL=datastores.redis_url)
    user_id, token = sign_up(server)
    ticket = server.post("/api/v1/auth/ticket", {}, token)["ticket"]
    server.post("/api/v1/auth/ticket", {}, token)
    async with connect(f"{server.websocket_url}/api/v1/ws/chat?ticket={ticket}") as socket:
        assert "hello" == json.loads(await socket.recv())["type"]
        while not (kinds := await found_kinds(redis)) >= KINDS:
            pass
    assert kinds == KINDS
    addresses = Addresses("{team-a}", 15)
    channels = set(await redis.pubsub_channels("*team-a*"))
    own = {channel for channel in channels if channel in addresses.own(channel.rpartition(b":")[2].decode())}
    assert 1 == len(own)
    assert {addresses.control, addresses.channel(user_address(user_id))} == channels - own


async def found_kinds(redis: Redis) -> set[str]:
    """Return the kinds of the keys. Fails if one of them lacks the prefix."""
    kinds = set()
    for key in map(bytes.decode, await redis.keys()):
        tag, _, name = key.partition("}:")
        assert re.fullmatch(rf"{{{PREFIX}(:limits|:\d+)?", tag), key
        kinds.add("limits" if tag.endswith(":limits") else name.partition(":")[0])
    return kinds


def sign_up(server: Server) -> tuple[str, str]:
    """Register a user; return their id and access token."""
    account = server.post("/api/v1/auth/register", {"username": "an.nguyen", "password": "correct horse"})
    return account["user"]["id"], account["access_token"]
