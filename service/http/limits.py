"""How much of what one person, or one address, may do in a while."""

import ipaddress
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import cached_property

import structlog
from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sanic import Request

from service.common.errors import RateLimited
from service.datastores.redis import OUTAGE, place
from service.datastores.redis_tracing import command

log = structlog.get_logger()


@dataclass(frozen=True)
class Rule:
    """`limits`: such as "30/minute; 300/hour", all of which hold."""

    name: str
    limits: str

    @cached_property
    def items(self) -> list[RateLimitItem]:
        return parse_many(self.limits)


REGISTRATION = Rule("registration", "100/minute; 1000/hour")
"""Per address. A school or a company comes from one; a script that fills the database stops here."""
SIGN_IN = Rule("sign_in", "30/minute; 300/hour")
"""Per account. 7,200 guesses a day do not find a password of eight characters, and nobody mistypes 30 in a minute."""
SIGN_IN_ADDRESS = Rule("sign_in_address", "200/minute; 3000/hour")
"""Per address: one password tried on many accounts. Hashing each costs some 50 ms of a core, too."""
REFRESH = Rule("refresh", "600/minute")
"""Per address: 9,000 clients behind one, each of which refreshes every 15 minutes."""
TICKET = Rule("ticket", "120/minute")
"""Per user: one for each connection; each is kept in Redis until it is spent or too old."""
CONNECTING = Rule("connecting", "120/minute")
"""Per user: 50 tabs that come back at once, twice; a client that reconnects in a loop is slowed down."""
CONNECTING_ADDRESS = Rule("connecting_address", "6000/minute")
"""Per address, before anyone has signed in: a whole office comes back at once after a restart."""
SENDING = Rule("sending", "300/10 seconds")
"""Per user: thirty a second for as long as one likes, and bursts of 300, well below what a reader's queue holds."""
TYPING = Rule("typing", "30/10 seconds")
"""Per user. A client says it every few seconds; each goes to everyone in the conversation."""
WRITING = Rule("writing", "600/minute")
"""Per user, for posts, comments, conversations, edits, the profile, devices and marks of what was read together."""
READING = Rule("reading", "1800/minute")
"""Per user. A client that was away asks for each of its conversations, a few hundred; nobody scrolls as fast."""
SEARCH = Rule("search", "120/minute")
"""Per user: two a second is as fast as one types."""

TAG = "{loa:limits}"
"""In every key. Of a cluster's slots the counts have one to themselves, and so, mostly, another node than the bus: they
are what Redis is asked for most, and can best be done without."""
AWAY = 5.0
"""Seconds for which a Redis that failed is left alone."""
TIMEOUT = 0.5
"""Seconds that a request may wait for it, the one in `AWAY` seconds that asks."""
MAX_REDIS_CONNECTIONS = 200
"""As many requests ask at once; one more counts by itself."""
MAX_CONNECTIONS = 50
"""Live connections of one user on one process: more than anyone has tabs, and 50 times the work of one."""


class RateLimits:
    """Counts by rule and key, for all processes together in Redis. While that is away each process counts for itself,
    so that limits still hold.
    """

    def __init__(self, redis_url: str | None, enabled: bool) -> None:
        """`redis_url`: redis://, rediss:// or unix://; None: nothing is shared."""
        self.enabled = enabled
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._pool = _pool(redis_url) if redis_url and enabled else None
        self._shared = MovingWindowRateLimiter(_storage(self._pool)) if self._pool else None
        self._away_until = 0.0

    async def check(self, rule: Rule, *keys: str) -> None:
        """Count one more for `keys`, the user or address concerned. Raises RateLimited with the time to wait."""
        if not self.enabled:
            return
        for item in rule.items:
            wait = await self._wait(rule, item, keys)
            if wait > 0:
                raise RateLimited(retry_after=wait)

    async def start(self) -> None:
        """Nothing is opened before it is needed."""

    async def close(self) -> None:
        if self._pool:
            await self._pool.aclose()

    async def _wait(self, rule: Rule, item: RateLimitItem, keys: tuple[str, ...]) -> float:
        if self._shared and self._may_ask():
            try:
                # The library has a client of its own, and counts by a script.
                with command("EVALSHA"):
                    wait = await self._ask(self._shared, item, rule.name, *keys)
            except OUTAGE as error:
                self._away_until = time.monotonic() + AWAY
                log.warning("limits_not_shared", error=type(error).__name__, seconds=AWAY)
            else:
                self._away_until = 0.0
                return wait
        return await self._ask(self._own, item, rule.name, *keys)

    def _may_ask(self) -> bool:
        now = time.monotonic()
        if now < self._away_until:
            return False
        if self._away_until:
            # This request finds out for all: the others need not wait with it.
            self._away_until = now + AWAY
        return True

    @staticmethod
    async def _ask(limiter: MovingWindowRateLimiter, item: RateLimitItem, *keys: str) -> float:
        if await limiter.hit(item, *keys):
            return 0.0
        reset, _ = await limiter.get_window_stats(item, *keys)
        return max(reset - time.time(), 0.1)


class ConnectionLimit:
    """At most so many live connections of one user on this process."""

    def __init__(self, connections: Callable[[str], Sized], enabled: bool, most: int = MAX_CONNECTIONS) -> None:
        """`connections(user_id)`: those there are, as `Registry.connections`."""
        self._connections = connections
        self._enabled = enabled
        self._most = most

    def check(self, user_id: str) -> None:
        """Before one more joins. Raises RateLimited."""
        if self._enabled and len(self._connections(user_id)) >= self._most:
            raise RateLimited(f"You have {self._most} connections open already.", retry_after=30)


def address(request: Request) -> str:
    """The client's address, as the limits count it.

    Sanic takes it from X-Forwarded-For only as far as PROXIES_COUNT says that proxies of ours have written it; what a
    client adds in front is not read. Of IPv6 it is the network of 64 bits: that is what one household or server has.
    """
    said = request.remote_addr or request.ip
    try:
        ip = ipaddress.ip_address(said.strip("[]"))
    except ValueError:
        return said[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def _pool(redis_url: str) -> ConnectionPool:
    options = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        # Trying again is `AWAY`'s business.
        "retry": Retry(NoBackoff(), 0),
    }
    return ConnectionPool(**{"max_connections": MAX_REDIS_CONNECTIONS, **options, **place(redis_url, TAG)})


def _storage(pool: ConnectionPool) -> RedisStorage:
    # The URL is not looked at where there is a pool.
    return RedisStorage("async+redis://", implementation="redispy", key_prefix=TAG, connection_pool=pool)  # type: ignore[arg-type]
