"""A burst: what the same people are told within one turn of the loop, joined once for all of their connections."""

from collections.abc import Collection

from service.realtime.event import Event, Policy

NO_NUMBER = 1 << 62
MAX_BYTES = 64 * 1024
"""More than this is more than a transport takes at once, and is to wait where it is bounded."""


class EventBatch:
    """`events`, in order, for the connections of the users `to` (None: all) to one feed. Never empty.

    It has the encodings of its events, joined on first use, under the names that an event has for its own; so what
    encodes an event (see `Connection.encode`) encodes a burst.
    """

    __slots__ = ("_latest", "_size", "events", "feed", "frame", "lowest", "plain", "stream", "to")

    frame: bytes
    stream: bytes

    def __init__(self, to: Collection[str] | None, first: Event) -> None:
        self.to = to
        self.feed = first.feed
        self.events: list[Event] = []
        self.plain = True
        """Whether each of them is numbered."""
        self.lowest = NO_NUMBER
        """Of their numbers, which are not in order where one came late (see `Dispatcher`)."""
        self._size = 0
        self._latest: dict[str, int] = {}
        self._add(first)

    def takes(self, to: Collection[str] | None, event: Event) -> bool:
        """Add `event`, where it is for the same connections and there is room; whether it was."""
        # A group's recipients are one object from event to event.
        if event.feed != self.feed or (to is not self.to and to != self.to):
            return False
        if self._size + len(event.body) > MAX_BYTES:
            return False
        self._add(event)
        return True

    def _add(self, event: Event) -> None:
        self._size += len(event.body)
        if event.number:
            self.lowest = min(self.lowest, event.number)
        else:
            self.plain = False
        if event.policy is Policy.LATEST:
            # As in a queue (see ConnectionQueue).
            place = self._latest.setdefault(event.key, len(self.events))
            if place < len(self.events):
                self.events[place] = event
                return
        self.events.append(event)

    def __getattr__(self, name: str) -> bytes:
        # Called while the slot is empty only, as in Event.
        if name == "frame":
            self.frame = b"".join([event.frame for event in self.events])
            return self.frame
        if name == "stream":
            self.stream = b"".join([event.stream for event in self.events])
            return self.stream
        raise AttributeError(name)
