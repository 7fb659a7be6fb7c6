"""Passwords: Argon2id, on threads of its own, a few at a time."""

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
"""KiB. With two passes and one lane, what OWASP asks for: some 30 ms, and small enough for a machine of 512 MB."""
THREADS = 2
"""At once: each takes a core and the memory above, and the event loop wants a core too."""
MAX_WAITING = 256
"""Some four seconds of work. Whoever comes later would wait longer than people do."""


class Passwords:
    """Hashes and verifies off the event loop. Beyond `max_waiting` calls at a time it says Unavailable."""

    def __init__(
        self, time_cost: int = TIME_COST, memory_cost: int = MEMORY_COST, max_waiting: int = MAX_WAITING
    ) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._max_waiting = max_waiting
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(_normal(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` is the one. Without a hash it is not, after as much work: who exists stays untold."""
        matches = await self._run(lambda: self._matches(password_hash or self._nobodys, _normal(password)))
        return matches and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
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


def _normal(password: str) -> str:
    """One keyboard writes `ế` as one character, another as three: the same password (RFC 8265, 4.2)."""
    return unicodedata.normalize("NFC", password)
