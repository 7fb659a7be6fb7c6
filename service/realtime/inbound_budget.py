"""The bytes of received frames that wait for their handlers, in total for the process and for each user."""

from collections.abc import Callable

USER_BYTES = 1 << 20
"""If this much waits for the handlers of one user's sockets, these sockets read no further frames."""
PROCESS_BYTES = 32 << 20
"""If this much waits for all sockets of the process, none reads further frames."""
MAX_PROCESS_BYTES = 2 * PROCESS_BYTES
"""Beyond this, the user with the most waiting bytes is disconnected."""


class InboundBudget:
    """Decides whether a socket may read ahead of its handler.

    A socket whose handler keeps up never pauses. Every socket may have one frame waiting, so that a user who has used
    up the budget does not delay the frames of others; MAX_PROCESS_BYTES bounds the sum of these frames.
    """

    def __init__(self, on_overload: Callable[[str], object]) -> None:
        """`on_overload(user_id)` disconnects a user, which removes what waits for their sockets."""
        self.total = 0
        self._bytes_by_user: dict[str, int] = {}
        self._on_overload = on_overload

    def add(self, user_id: str, size: int) -> None:
        """Note that a frame of `size` bytes waits. May call `on_overload`."""
        self.total += size
        self._bytes_by_user[user_id] = self._bytes_by_user.get(user_id, 0) + size
        if self.total > MAX_PROCESS_BYTES:
            self._on_overload(max(self._bytes_by_user, key=self._bytes_by_user.__getitem__))

    def remove(self, user_id: str, size: int) -> None:
        """Note that frames of `size` bytes have been handled or discarded."""
        if not size:
            return
        self.total -= size
        remaining = self._bytes_by_user[user_id] - size
        if remaining:
            self._bytes_by_user[user_id] = remaining
        else:
            del self._bytes_by_user[user_id]

    def exhausted(self, user_id: str) -> bool:
        """Return whether a socket of this user that has a frame waiting should read no more."""
        return self.total >= PROCESS_BYTES or self._bytes_by_user.get(user_id, 0) >= USER_BYTES
