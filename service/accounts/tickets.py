"""Tickets: a signed-in person's pass to one socket or stream, for URLs, which are logged where headers are not."""

import asyncio
import re
import secrets
import time
from typing import Any, cast

from redis.asyncio import Redis

from service.accounts.denylist import REDIS_TIMEOUT
from service.common.encoding import dumps, loads
from service.common.errors import TokenExpired, TokenInvalid, Unavailable
from service.common.identity import Identity
from service.datastores.redis import REDIS_ERRORS, TAG

PREFIX = f"{TAG}:ticket:"
TTL = 30
"""Seconds: from the answer to the connecting that follows it, over a bad network."""

SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")


class Tickets:
    """Kept in Redis alone: without it there are none, and clients show their token instead."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def issue(self, bearer: Identity) -> str:
        """A ticket that stands for `bearer`, once, for `TTL` seconds. Raises Unavailable."""
        ticket = secrets.token_urlsafe(32)
        await self._ask(self._redis.set(PREFIX + ticket, dumps(list(bearer)), ex=TTL))
        return ticket

    async def redeem(self, ticket: str) -> Identity:
        """Whom it stands for; reading and spending it are one step. Raises TokenInvalid, TokenExpired, Unavailable."""
        if not SHAPE.fullmatch(ticket):
            raise TokenInvalid
        kept = await self._ask(self._redis.getdel(PREFIX + ticket))
        if kept is None:
            raise TokenInvalid("The ticket is unknown, spent or too old.")
        bearer = Identity(*loads(kept))
        if bearer.expires_at <= time.time():
            raise TokenExpired
        return bearer

    @staticmethod
    async def _ask(command: Any) -> bytes | None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                return cast(bytes | None, await command)
        except REDIS_ERRORS as error:
            raise Unavailable("Tickets cannot be had just now.") from error
