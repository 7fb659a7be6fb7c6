"""Clients of Redis for commands, and what a REDIS_URL says. The bus uses a link of its own: see redis_link.py."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from config.settings import redis_nodes
from service.datastores.cluster import Address, NodeConnection, Nodes, TLSNodeConnection
from service.datastores.redis_endpoint import RedisEndpoint
from service.datastores.redis_tracing import TracedRedis

REDIS_ERRORS = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a command raises if Redis is unavailable. uvloop raises RuntimeError if a connection was reset while idle: its
transport is closed, and redis-py writes to it nevertheless."""
REDIS_TIMEOUT = 2.0
"""Seconds to connect, to wait for a reply, and to wait for a free connection. Every caller can do without Redis, so it
is not worth a long wait."""
POOL_SIZE = 50
DEFAULT_HOST, DEFAULT_PORT = "localhost", 6379
HEALTH_CHECK_INTERVAL = 15
"""Seconds of idleness after which a connection is checked before use: a router may have dropped it silently."""

TAG = "{loa}"
"""Prefix of every key and channel of a `connect` client, unless REDIS_PREFIX names another. A cluster hashes only the
part in braces, so all of them are in one slot."""


class InvalidRedisURL(Exception):
    """The URL cannot be used. The message is one line, and does not quote the password."""


def connect(url: str, tag: str = TAG, *, traced: bool = False) -> Redis:
    """Return a client for `url` (see `pool_options`) that connects with its first command and returns bytes.

    `tag`: the prefix of all its keys. `traced`: record its commands as spans.

    A command on a dead connection is repeated once on a new one, which covers a restart of Redis; after that it raises
    one of REDIS_ERRORS.
    """
    options = {
        "socket_timeout": REDIS_TIMEOUT,
        "socket_connect_timeout": REDIS_TIMEOUT,
        "health_check_interval": HEALTH_CHECK_INTERVAL,
        "retry": Retry(NoBackoff(), 1),
        "retry_on_error": [RuntimeError],
    }
    pool = BlockingConnectionPool(
        **{"max_connections": POOL_SIZE, "timeout": REDIS_TIMEOUT, **options, **pool_options(url, tag)}
    )
    return (TracedRedis if traced else Redis).from_pool(pool)


def pool_options(url: str, tag: str) -> dict[str, Any]:
    """Return the arguments with which a connection pool reaches `url`: `redis://`, `rediss://` or `unix://`.

    If `url` names a node of a cluster, or several nodes separated by commas, connections lead to the node that serves
    the slot of `tag`; all keys have to contain it.

    `rediss://` verifies the server's certificate and host name, unless the URL says `?ssl_cert_reqs=none`: Heroku's
    Redis presents a self-signed certificate, and its manual asks for this. Raises InvalidRedisURL.
    """
    options, addresses = _parse(url)
    if not addresses:
        return options
    tls = options.get("connection_class") is SSLConnection
    return {
        **options,
        "connection_class": TLSNodeConnection if tls else NodeConnection,
        "nodes": Nodes(addresses, tag),
    }


def endpoint(url: str) -> RedisEndpoint:
    """Return how to reach and enter the servers of `url`, which may have the forms of `pool_options`. Raises
    InvalidRedisURL."""
    options, addresses = _parse(url)
    tls = None
    if options.get("connection_class") is SSLConnection:
        # The client makes the context, so that each `ssl_` option means the same here and there.
        tls = SSLConnection(**{name: value for name, value in options.items() if name.startswith("ssl_")}).ssl_context
    return RedisEndpoint(
        tuple(addresses),
        options.get("path"),
        tls.get() if tls else None,
        options.get("username"),
        options.get("password"),
        int(options.get("db") or 0),
    )


def _parse(url: str) -> tuple[dict[str, Any], list[Address]]:
    """Return the options of `url`, and the addresses of its nodes; none for a Unix socket. Raises InvalidRedisURL."""
    try:
        nodes: list[dict[str, Any]] = [dict(parse_url(node)) for node in redis_nodes(url)]
    except ValueError as error:
        # The text of other errors may quote a part of the password.
        message = str(error) if "connection URL" in str(error) else "it is not a URL of Redis"
        raise InvalidRedisURL(message) from error
    # Loa reads bytes, whatever the URL says.
    options = nodes[0] | {"decode_responses": False}
    _check_options(options)
    if options.get("connection_class") is UnixDomainSocketConnection:
        return options, []
    return options, [Address(node.get("host", DEFAULT_HOST), node.get("port", DEFAULT_PORT)) for node in nodes]


def _check_options(options: dict[str, Any]) -> None:
    """Raise InvalidRedisURL for an option that connections do not have. Each connection would raise it later."""
    arguments = {name: value for name, value in options.items() if name not in ("connection_class", "max_connections")}
    try:
        options.get("connection_class", Connection)(**arguments)
    except (TypeError, ValueError, RedisError) as error:
        raise InvalidRedisURL(f"an option is unknown or invalid ({error})") from error


def verifies_certificate(url: str) -> bool:
    """Return whether connections to `url` verify the server's certificate and host name. True without TLS."""
    options: dict[str, Any] = dict(parse_url(redis_nodes(url)[0]))
    return options.get("ssl_cert_reqs") != "none" and options.get("ssl_check_hostname") is not False


def database_number(redis: "Redis") -> int:
    """Return the number of the database that `redis` uses. Databases share their channels, but not their keys."""
    return int(redis.connection_pool.connection_kwargs.get("db") or 0)


async def ping(redis: "Redis", tag: str = TAG) -> None:
    """Raise one of REDIS_ERRORS if Redis cannot serve commands. A node cut off from its cluster still answers PING.

    `tag`: as in `connect`; a Redis user may be allowed these keys only.
    """
    await redis.exists(tag)


async def is_cluster(redis: "Redis") -> bool:
    """Return whether the server is a cluster node. Raises one of REDIS_ERRORS."""
    try:
        return bool((await redis.info("cluster")).get("cluster_enabled"))
    except ResponseError:
        # Some providers forbid INFO; their servers look like a single one.
        return False
