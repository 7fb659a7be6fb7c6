"""A batch: what the same people are told within one turn of the loop, joined once for all of their connections."""

from collections.abc import Collection

from service.realtime.event import Event, Policy

NO_NUMBER = 1 << 62
MAX_BYTES = 64 * 1024
"""More than this is more than a transport takes at once, and is to wait where it is bounded."""


class EventBatch:
    """`events`, in order, for the connections of the users `to` (None: all) to one channel. Never empty.

    It has the encodings of its events, joined on first use, under the names that an event has for its own; so what
    encodes an event (see `Connection.encode`) encodes a batch.
    """

    __slots__ = (
        "_latest",
        "_size",
        "all_sequenced",
        "channel",
        "events",
        "min_sequence",
        "sse_bytes",
        "to",
        "ws_frame",
    )

    ws_frame: bytes
    sse_bytes: bytes

    def __init__(self, to: Collection[str] | None, first: Event) -> None:
        self.to = to
        self.channel = first.channel
        self.events: list[Event] = []
        self.all_sequenced = True
        """Whether each of them is numbered."""
        self.min_sequence = NO_NUMBER
        """Of their numbers, which are not in order where one came late (see `Dispatcher`)."""
        self._size = 0
        self._latest: dict[str, int] = {}
        self._add(first)

    def try_add(self, to: Collection[str] | None, event: Event) -> bool:
        """Add `event`, where it is for the same connections and there is room; whether it was."""
        # A group's recipients are one object from event to event.
        if event.channel != self.channel or (to is not self.to and to != self.to):
            return False
        if self._size + len(event.body) > MAX_BYTES:
            return False
        self._add(event)
        return True

    def _add(self, event: Event) -> None:
        self._size += len(event.body)
        if event.sequence:
            self.min_sequence = min(self.min_sequence, event.sequence)
        else:
            self.all_sequenced = False
        if event.policy is Policy.LATEST:
            # As in a queue (see ConnectionQueue).
            place = self._latest.setdefault(event.key, len(self.events))
            if place < len(self.events):
                self.events[place] = event
                return
        self.events.append(event)

    def __getattr__(self, name: str) -> bytes:
        # Called while the slot is empty only, as in Event.
        if name == "ws_frame":
            self.ws_frame = b"".join([event.ws_frame for event in self.events])
            return self.ws_frame
        if name == "sse_bytes":
            self.sse_bytes = b"".join([event.sse_bytes for event in self.events])
            return self.sse_bytes
        raise AttributeError(name)
