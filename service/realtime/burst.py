"""A burst: what the same people are told within one turn of the loop, joined once for all of their connections."""

from collections.abc import Collection

from service.realtime.event import Event, Policy

MAX_BYTES = 64 * 1024
"""More than this is more than a transport takes at once, and is to wait where it is bounded."""


class Burst:
    """`events`, in order, for the connections of the users `to` (None: all) to one feed. Never empty.

    It has the encodings of its events, joined on first use, under the names that an event has for its own; so what
    encodes an event (see `Connection.encode`) encodes a burst.
    """

    __slots__ = ("_size", "events", "feed", "frame", "lowest", "plain", "stream", "to")

    frame: bytes
    stream: bytes

    def __init__(self, to: Collection[str] | None, first: Event) -> None:
        self.to = to
        self.feed = first.feed
        self.events = [first]
        self.plain = _plain(first)
        """Whether there is nothing to decide for any of them: each is numbered, and never dropped."""
        self.lowest = first.number
        """Of their numbers, which are not in order where one came late (see `Delivery`)."""
        self._size = len(first.body)

    def takes(self, to: Collection[str] | None, event: Event) -> bool:
        """Add `event`, where it is for the same connections and there is room; whether it was."""
        size = self._size + len(event.body)
        # A group's recipients are one object from event to event.
        if event.feed != self.feed or size > MAX_BYTES or (to is not self.to and to != self.to):
            return False
        self.events.append(event)
        self.plain = self.plain and _plain(event)
        self.lowest = min(self.lowest, event.number)
        self._size = size
        return True

    def __getattr__(self, name: str) -> bytes:
        # Called while the slot is empty only, as in Event.
        if name == "frame":
            self.frame = b"".join([event.frame for event in self.events])
            return self.frame
        if name == "stream":
            self.stream = b"".join([event.stream for event in self.events])
            return self.stream
        raise AttributeError(name)


def _plain(event: Event) -> bool:
    return event.number > 0 and event.policy is Policy.DURABLE
