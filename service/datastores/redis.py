"""Redis. The only file that knows how to connect to it."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

OUTAGE = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a command raises where Redis is away. RuntimeError is uvloop's word where a connection was reset while it lay
idle: its transport is closed, and redis-py writes to it all the same."""
TIMEOUT = 2.0
"""Seconds to connect, to wait for an answer, and to wait for a free connection. Everything that asks Redis can do
without it, so it is not worth a long wait."""
POOL_SIZE = 50
HEALTH_CHECK_INTERVAL = 15
"""Seconds of idleness after which a connection is tried before use: a router may have dropped it in silence."""


def connect(url: str) -> Redis:
    """A client for `url` (`redis://`, `rediss://`, `unix://`); it connects at its first command. Answers are bytes.

    A command that meets a dead connection is tried once more on a new one, which is what a restarted Redis needs, and
    then fails with one of OUTAGE: whoever calls says what happens without Redis.

    `rediss://` encrypts without checking the certificate, for Heroku's Redis shows a self-signed one and its manual
    asks for just that. Where the server's certificate can be checked, `?ssl_cert_reqs=required` in the URL demands it.
    """
    tls: dict[str, Any] = {"ssl_cert_reqs": "none"} if url.startswith("rediss://") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=POOL_SIZE,
        timeout=TIMEOUT,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        health_check_interval=HEALTH_CHECK_INTERVAL,
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RuntimeError],
        **tls,
    )
    return Redis.from_pool(pool)
