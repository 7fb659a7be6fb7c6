"""The limit of uploads, downloads or exports at the same time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.common.errors import RateLimited, Unavailable


class TransferSlots:
    """Counts transfers of this process, and of each client. Slow ones last for many minutes."""

    def __init__(self, total: int, per_client: int | None, what: str = "files") -> None:
        """`per_client`: None if there is no limit for one client. `what` is transferred, for the messages of errors."""
        self._what = what
        self._total = total
        self._per_client = per_client
        self._clients: Counter[str] = Counter()

    @contextmanager
    def take(self, client: str) -> Iterator[None]:
        """Hold a slot while the block runs. `client`: a user, or an address.

        Raises RateLimited if the client has too many, Unavailable if all together have.
        """
        if self._per_client is not None and self._clients[client] >= self._per_client:
            raise RateLimited(f"At most {self._per_client} {self._what} at a time.", retry_after=5)
        if self._clients.total() >= self._total:
            raise Unavailable(f"Too many {self._what} are being transferred.", retry_after=10)
        self._clients[client] += 1
        try:
            yield
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
