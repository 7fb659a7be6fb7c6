"""Password hashing: Argon2id, on a small thread pool."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from service.common.errors import Unavailable

Result = TypeVar("Result")

TIME_COST = 2
MEMORY_COST = 19 * 1024
"""KiB. With two passes and one lane this is OWASP's minimum: about 30 ms, and small enough for a machine of 512 MB."""
THREADS = 2
"""Concurrent hashes. Each takes one core and `MEMORY_COST`, and the event loop needs a core too."""
MAX_WAITING = 256
"""About four seconds of work. A later caller would wait longer than users do."""


class Passwords:
    """Hashes and verifies passwords off the event loop. Raises Unavailable if `max_waiting` calls are in progress."""

    def __init__(
        self, time_cost: int = TIME_COST, memory_cost: int = MEMORY_COST, max_waiting: int = MAX_WAITING
    ) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._max_waiting = max_waiting
        self._waiting = 0
        self._decoy_hash = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """Return the encoded hash, with its salt and parameters."""
        return await self._run(lambda: self._hasher.hash(_normalise(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` matches the hash.

        Returns False if `password_hash` is None, after the same work as for a wrong password: the duration does not
        reveal whether the user exists.
        """
        matches = await self._run(lambda: self._matches(password_hash or self._decoy_hash, _normalise(password)))
        return matches and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with parameters other than the current ones."""
        return self._hasher.check_needs_rehash(password_hash)

    async def close(self) -> None:
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerificationError:
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._max_waiting:
            raise Unavailable("Too many people are signing in at once.", retry_after=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1


def _normalise(password: str) -> str:
    """Return the NFC form (RFC 8265, section 4.2): keyboards differ in whether they compose `ế` from one character or
    three."""
    return unicodedata.normalize("NFC", password)
