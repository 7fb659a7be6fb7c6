"""Redis. The only file that knows how to connect to it."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from config.settings import redis_nodes
from service.datastores.cluster import Address, NodeConnection, Nodes, TLSNodeConnection
from service.datastores.redis_tracing import TracedRedis

OUTAGE = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a command raises where Redis is away. RuntimeError is uvloop's word where a connection was reset while it lay
idle: its transport is closed, and redis-py writes to it all the same."""
TIMEOUT = 2.0
"""Seconds to connect, to wait for an answer, and to wait for a free connection. Everything that asks Redis can do
without it, so it is not worth a long wait."""
POOL_SIZE = 50
DEFAULT_HOST, DEFAULT_PORT = "localhost", 6379
HEALTH_CHECK_INTERVAL = 15
"""Seconds of idleness after which a connection is tried before use: a router may have dropped it in silence."""

TAG = "{loa}"
"""In every key and channel that a client of `connect` uses: of a cluster's slots, what is in the braces picks one."""


def connect(url: str, *, traced: bool = False) -> Redis:
    """A client for `url`, see `place`; it connects at its first command. Answers are bytes.
    `traced`: its commands are spans.

    A command that meets a dead connection is tried once more on a new one, which is what a restarted Redis needs, and
    then fails with one of OUTAGE: whoever calls says what happens without Redis.
    """
    options = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "health_check_interval": HEALTH_CHECK_INTERVAL,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [RuntimeError],
    }
    pool = BlockingConnectionPool(**{"max_connections": POOL_SIZE, "timeout": TIMEOUT, **options, **place(url, TAG)})
    return (TracedRedis if traced else Redis).from_pool(pool)


def place(url: str, tag: str) -> dict[str, Any]:
    """What a pool of connections has to know to find the server of `url`: `redis://`, `rediss://`, `unix://`.

    Where that is a node of a cluster, or several of them, separated by commas, connections lead to the one that serves
    the slot of `tag`, which is in all keys.

    `rediss://` encrypts without checking the certificate, for Heroku's Redis shows a self-signed one and its manual
    asks for just that. Where the server's certificate can be checked, `?ssl_cert_reqs=required` in the URL demands it.
    """
    named: list[dict[str, Any]] = [dict(parse_url(node)) for node in redis_nodes(url)]
    options = named[0]
    if options.get("connection_class") is UnixDomainSocketConnection:
        return options
    tls = options.get("connection_class") is SSLConnection
    addresses = [Address(one.get("host", DEFAULT_HOST), one.get("port", DEFAULT_PORT)) for one in named]
    return {
        **({"ssl_cert_reqs": "none"} if tls else {}),
        **options,
        "connection_class": TLSNodeConnection if tls else NodeConnection,
        "nodes": Nodes(addresses, tag),
    }


async def ping(redis: "Redis") -> None:
    """Raises one of OUTAGE where nothing can be asked of it: a node that has lost its cluster still answers a PING."""
    await redis.exists(TAG)


async def is_cluster(redis: "Redis") -> bool:
    """Raises one of OUTAGE."""
    try:
        return bool((await redis.info("cluster")).get("cluster_enabled"))
    except ResponseError:
        # Some providers forbid the question: theirs look like one server.
        return False
