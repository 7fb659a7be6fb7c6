"""The bounded queue of a connection, with a policy for each kind of event."""

from service.realtime.event import Event, Policy

MAX_EVENTS = 1000
"""A client that is further behind is served better by `sync` than by a longer queue."""
MAX_BYTES = 1 << 20
DURABLE = Policy.DURABLE
EPHEMERAL_SHARE = 0.5
"""The share of the queue that ephemeral events may fill; the rest is reserved for durable events."""


class ConnectionQueue:
    """A FIFO of encoded events, taken all at once.

    Invariants: `put` never blocks; durable events keep the order of their arrival; the queue never holds more than
    `max_events` events or `max_bytes` bytes, except for one event that is longer. If a durable event does not fit,
    queued ephemeral events are dropped first. `size` is in bytes; `dropped` counts the ephemeral events that were
    dropped.
    """

    __slots__ = ("_data", "_events", "_index_by_key", "dropped", "max_bytes", "max_events", "size")

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.size = 0
        self.dropped = 0
        # Two lists instead of one list of pairs: the garbage collector would have to traverse every pair.
        self._events: list[Event] = []
        self._data: list[bytes] = []
        self._index_by_key: dict[str, int] | None = None

    def __len__(self) -> int:
        """Return the number of queued events."""
        return len(self._events)

    def put(self, event: Event, data: bytes) -> bool:
        """Queue `event`, encoded as `data`. Return False if it is durable and does not fit: close the connection."""
        if event.policy is not DURABLE:
            self._put_ephemeral(event, data)
            return True
        # `_fits` is inlined here: this runs for every event of every connection.
        size = self.size + len(data)
        if size > self.max_bytes or len(self._events) >= self.max_events:
            self._drop_ephemeral()
            size = self.size + len(data)
            # An empty queue takes an event of any size: closed instead, the connection would meet it again and again.
            if self._events and not self._fits(data, 1.0):
                return False
        self._events.append(event)
        self._data.append(data)
        self.size = size
        return True

    def take(self) -> bytes:
        """Empty the queue and return all its data, joined."""
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        self.clear()
        return data

    def events(self) -> list[Event]:
        """Return the queued events, in order."""
        return list(self._events)

    def discard_topic(self, topic: str) -> None:
        """Remove all events of `topic`, durable ones too: the user may no longer see any of them."""
        self._keep([index for index, event in enumerate(self._events) if event.topic != topic])

    def discard_sequenced(self) -> None:
        """Remove all events with a sequence number, which clients can fetch by it, and all ephemeral ones."""
        self._drop_ephemeral()
        self._keep([index for index, event in enumerate(self._events) if not event.sequence])

    def clear(self) -> None:
        self._events.clear()
        self._data.clear()
        self._index_by_key = None
        self.size = 0

    def _fits(self, data: bytes, share: float) -> bool:
        return len(self._events) < self.max_events * share and self.size + len(data) <= self.max_bytes * share

    def _put_ephemeral(self, event: Event, data: bytes) -> None:
        if event.policy is Policy.LATEST:
            if self._index_by_key is None:
                self._index_by_key = {}
            index = self._index_by_key.get(event.key)
            if index is not None:
                size = self.size + len(data) - len(self._data[index])
                if size > self.max_bytes:
                    self.dropped += 1
                else:
                    self.size = size
                    self._events[index], self._data[index] = event, data
                return
        if not self._fits(data, EPHEMERAL_SHARE):
            self.dropped += 1
            return
        if self._index_by_key is not None and event.policy is Policy.LATEST:
            self._index_by_key[event.key] = len(self._events)
        self._events.append(event)
        self._data.append(data)
        self.size += len(data)

    def _drop_ephemeral(self) -> None:
        kept = [index for index, event in enumerate(self._events) if event.policy is DURABLE]
        self.dropped += len(self._events) - len(kept)
        self._keep(kept)

    def _keep(self, indices: list[int]) -> None:
        self._events = [self._events[index] for index in indices]
        self._data = [self._data[index] for index in indices]
        self._index_by_key = {
            event.key: index for index, event in enumerate(self._events) if event.policy is Policy.LATEST
        } or None
        self.size = sum(map(len, self._data))
