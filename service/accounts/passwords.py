"""Password hashing: Argon2id, on a small thread pool."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from service.accounts.fair_queue import FairQueue
from service.accounts.password_strength import weakness

Result = TypeVar("Result")

TIME_COST = 2
MEMORY_COST = 19 * 1024
"""KiB. With two passes and one lane this is OWASP's minimum: about 30 ms, and small enough for a machine of 512 MB."""
THREADS = 2
"""Concurrent hashes. Each takes one core and `MEMORY_COST`, and the event loop needs a core too."""
MAX_WAITING = 256
"""About four seconds of work. A later caller would wait longer than users do."""
MAX_WAITING_PER_CALLER = 32
"""Of one address and purpose: half a second of work."""


class WeakPassword(Exception):
    """The message says why the password is refused."""


class Passwords:
    """Hashes and verifies passwords off the event loop. Callers take turns; see FairQueue for what its methods raise.

    `caller` identifies whom a request counts for, such as the client's address with the purpose.
    """

    def __init__(
        self,
        time_cost: int = TIME_COST,
        memory_cost: int = MEMORY_COST,
        max_waiting: int = MAX_WAITING,
        max_per_caller: int | None = None,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._queue = FairQueue(THREADS, max_waiting, max_per_caller)
        self._decoy_hash = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str, caller: Hashable = None) -> str:
        """Return the encoded hash, with its salt and parameters."""
        return await self._run(caller, lambda: self._hasher.hash(_normalise(password)))

    async def hash_new(self, password: str, username: str, caller: Hashable = None) -> str:
        """Return the hash of a password that a user has chosen. Raises WeakPassword."""

        def check_and_hash() -> str:
            if reason := weakness(_normalise(password), username):
                raise WeakPassword(reason)
            return self._hasher.hash(_normalise(password))

        return await self._run(caller, check_and_hash)

    async def verify(self, password_hash: str | None, password: str, caller: Hashable = None) -> bool:
        """Whether `password` matches the hash.

        Returns False if `password_hash` is None, after the same work as for a wrong password: the duration does not
        reveal whether the user exists.
        """
        hashed = password_hash or self._decoy_hash
        matches = await self._run(caller, lambda: self._matches(hashed, _normalise(password)))
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

    async def _run(self, caller: Hashable, work: Callable[[], Result]) -> Result:
        async with self._queue.turn(caller):
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _normalise(password: str) -> str:
    """Return the NFC form (RFC 8265, section 4.2): keyboards differ in whether they compose `ế` from one character or
    three."""
    return unicodedata.normalize("NFC", password)
