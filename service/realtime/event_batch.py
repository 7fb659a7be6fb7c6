"""Batches of events that the same recipients get within one iteration of the event loop."""

from collections.abc import Collection

from service.realtime.event import Event, Policy, chunk

NO_SEQUENCE = 1 << 62
"""Higher than any sequence number: the minimum of none."""
MAX_BYTES = 64 * 1024
"""A transport does not take more at once; the rest has to wait in the connections' queues, where it is bounded."""


class EventBatch:
    """`events`, in order, for the connections of `recipients` (user ids; None: all users) to one channel. Never empty.

    A batch has the encodings of an event under the same names: those of its events, joined on first use. So a
    connection encodes a batch as it encodes an event (see `Connection.encode`).
    """

    __slots__ = (
        "_index_by_key",
        "_size",
        "all_sequenced",
        "channel",
        "events",
        "min_sequence",
        "recipients",
        "sse_bytes",
        "sse_chunk",
        "ws_compressed",
        "ws_frame",
    )

    ws_frame: bytes
    ws_compressed: bytes
    sse_bytes: bytes
    sse_chunk: bytes

    def __init__(self, recipients: Collection[str] | None, first: Event) -> None:
        self.recipients = recipients
        self.channel = first.channel
        self.events: list[Event] = []
        self.all_sequenced = True
        """Whether each event has a sequence number."""
        self.min_sequence = NO_SEQUENCE
        """The lowest sequence number. Not always the first event's: a late event may follow (see `Dispatcher`)."""
        self._size = 0
        self._index_by_key: dict[str, int] = {}
        self._add(first)

    def try_add(self, recipients: Collection[str] | None, event: Event) -> bool:
        """Add `event` and return True if it is for the same connections and there is room; otherwise return False."""
        # The recipients of a group are one object from event to event.
        if event.channel != self.channel or (recipients is not self.recipients and recipients != self.recipients):
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
            # As in a ConnectionQueue.
            index = self._index_by_key.setdefault(event.key, len(self.events))
            if index < len(self.events):
                self.events[index] = event
                return
        self.events.append(event)

    def __getattr__(self, name: str) -> bytes:
        # Only called while the slot is empty, as in Event.
        if name == "ws_frame":
            self.ws_frame = b"".join([event.ws_frame for event in self.events])
            return self.ws_frame
        if name == "ws_compressed":
            self.ws_compressed = b"".join([event.ws_compressed for event in self.events])
            return self.ws_compressed
        if name == "sse_bytes":
            self.sse_bytes = b"".join([event.sse_bytes for event in self.events])
            return self.sse_bytes
        if name == "sse_chunk":
            self.sse_chunk = chunk(self.sse_bytes)
            return self.sse_chunk
        raise AttributeError(name)
