"""The limit of the bytes that a user may make the server send to others, beside the limits of requests."""

import time
from collections import OrderedDict
from typing import Any

from service.common.encoding import dumps
from service.common.errors import RateLimited

BYTES_PER_SECOND = 64 * 1024
"""Four messages of the greatest length a second, sustained: more than a person writes or pastes."""
BURST_BYTES = 512 * 1024
"""Half of what the queue of a recipient's connection holds."""
EVENT_BYTES = 512
"""What a message takes as an event beside its content."""
ATTACHMENT_BYTES = 2 * 1024
"""What an attachment takes in an event at most, nearly: its name, its description and two URLs."""
CHANGE_BYTES = 4 * 1024
CONVERSATION_BYTES = 16 * 1024
"""What is counted before a change of a message or a conversation; the rest is counted when its size is known. So that
many changes at the same time are limited, too."""
MAX_USERS = 10_000
"""Users that are remembered: those forgotten first have been quiet for longest."""


class ByteLimit:
    """A token bucket for each user, in this process only: it costs a fraction of what encoding the bytes costs.

    A user may be in debt, because the size of some events is known only after they have been sent.
    """

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """By user: when the bucket is full again, on the monotonic clock. A full bucket is like a missing one."""

    def take(self, user_id: str, size: int) -> None:
        """Count `size` bytes. Raises RateLimited, and counts nothing, if they are too many now."""
        if self._enabled and (wait := self._wait(user_id, size)) > 0:
            raise RateLimited(retry_after=wait)
        self.count(user_id, size)

    def take_message(self, user_id: str, content: str, attachments: int = 0) -> None:
        """Like `take`, for a message with this content and this number of attachments."""
        if self._enabled:
            self.take(user_id, EVENT_BYTES + len(dumps(content).encode()) + attachments * ATTACHMENT_BYTES)

    def count_rest(self, user_id: str, sent: dict[str, Any], taken: int) -> None:
        """Count what an event with `sent` takes beyond the bytes taken before."""
        if self._enabled:
            self.count(user_id, max(0, len(dumps(sent).encode()) - taken))

    def count(self, user_id: str, size: int) -> None:
        """Count `size` bytes that have been sent."""
        if not self._enabled:
            return
        now = time.monotonic()
        self._full_at[user_id] = max(self._full_at.get(user_id, now), now) + size / BYTES_PER_SECOND
        self._full_at.move_to_end(user_id)
        if len(self._full_at) > MAX_USERS:
            self._full_at.popitem(last=False)

    def _wait(self, user_id: str, size: int) -> float:
        """Return the seconds until `size` bytes may be sent. A bucket that is not full has less than BURST_BYTES."""
        missing = max(self._full_at.get(user_id, 0.0) - time.monotonic(), 0.0) * BYTES_PER_SECOND
        return (missing + size - BURST_BYTES) / BYTES_PER_SECOND
