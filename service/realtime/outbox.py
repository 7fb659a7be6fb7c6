"""Messages that wait to be published to one channel."""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

MAX_BATCH_MESSAGES = 256
MAX_BATCH_BYTES = 256 * 1024
"""Limits of one publication, which has at least one message: a subscriber reads it as a whole."""


class Message(NamedTuple):
    """An encoded message. `mark`: a key and a number; see `redis_link.Publication`."""

    content: bytes
    mark: tuple[bytes, int] | None = None


class Outbox:
    """The messages to one channel that Redis has not accepted yet, in their order.

    `in_flight`: whether a publication has not been answered yet. `overflowed`: whether messages were dropped, which
    the next publication reports.
    """

    __slots__ = ("in_flight", "messages", "overflowed")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.in_flight = False
        self.overflowed = False

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to publish."""
        return not (self.messages or self.overflowed)

    def next_batch(self) -> list[Message]:
        """Return the messages of the next publication; they stay in the outbox."""
        batch: list[Message] = []
        size = 0
        for message in islice(self.messages, MAX_BATCH_MESSAGES):
            size += len(message.content)
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(message)
        return batch

    def remove(self, batch: list[Message]) -> tuple[int, int]:
        """Remove the messages of a publication. Return the number and bytes of those that were still there."""
        count = size = 0
        for message in batch:
            # An overflow may have dropped it.
            if self.messages and self.messages[0] is message:
                size += len(self.messages.popleft().content)
                count += 1
        return count, size


def marks(batch: list[Message]) -> Mapping[bytes, int]:
    """Return the highest number of each key."""
    found: dict[bytes, int] = {}
    for message in batch:
        if message.mark:
            key, number = message.mark
            found[key] = max(number, found.get(key, 0))
    return found
