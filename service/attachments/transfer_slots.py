"""The limit of uploads, or downloads, at the same time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.common.errors import RateLimited, Unavailable


class TransferSlots:
    """Counts transfers of this process, and of each user. Slow ones last for many minutes."""

    def __init__(self, total: int, per_user: int | None) -> None:
        """`per_user`: None if there is no limit for one user."""
        self._total = total
        self._per_user = per_user
        self._users: Counter[str] = Counter()

    @contextmanager
    def take(self, user_id: str) -> Iterator[None]:
        """Hold a slot while the block runs. Raises RateLimited if the user has too many, Unavailable if all have."""
        if self._per_user is not None and self._users[user_id] >= self._per_user:
            raise RateLimited(f"At most {self._per_user} files at a time.", retry_after=5)
        if self._users.total() >= self._total:
            raise Unavailable("Too many files are being transferred.", retry_after=10)
        self._users[user_id] += 1
        try:
            yield
        finally:
            self._users[user_id] -= 1
            if not self._users[user_id]:
                del self._users[user_id]
