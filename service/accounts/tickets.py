"""Tickets: single-use credentials for the URL of one socket or stream. URLs are logged; headers are not."""

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

TTL = 30
"""Seconds: enough for a client on a bad network to receive the ticket and connect."""

FORMAT = re.compile(r"[A-Za-z0-9_-]{43}")


class Tickets:
    """Issues and redeems tickets. They are stored in Redis only: without Redis, clients use their token instead."""

    def __init__(self, redis: "Redis", tag: str = TAG) -> None:
        """`tag`: the prefix of the keys, as in `connect`."""
        self._redis = redis
        self._prefix = f"{tag}:ticket:"

    async def issue(self, bearer: Identity) -> str:
        """Return a ticket that can be redeemed once for `bearer`, within `TTL` seconds. Raises Unavailable."""
        ticket = secrets.token_urlsafe(32)
        await self._execute(self._redis.set(self._prefix + ticket, dumps([*bearer[:-1], *bearer.roles]), ex=TTL))
        return ticket

    async def redeem(self, ticket: str) -> Identity:
        """Atomically read and delete the ticket, and return its bearer.

        Raises TokenInvalid, Unavailable, or TokenExpired if the token it was issued for has expired.
        """
        if not FORMAT.fullmatch(ticket):
            raise TokenInvalid
        stored = await self._execute(self._redis.getdel(self._prefix + ticket))
        if stored is None:
            raise TokenInvalid("The ticket is unknown, already used or expired.")
        user_id, session_id, token_id, expires_at, *roles = loads(stored)
        bearer = Identity(user_id, session_id, token_id, expires_at, tuple(roles))
        if bearer.expires_at <= time.time():
            raise TokenExpired
        return bearer

    @staticmethod
    async def _execute(command: Any) -> bytes | None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                return cast(bytes | None, await command)
        except REDIS_ERRORS as error:
            raise Unavailable("Tickets are temporarily unavailable.") from error
