"""What waits for one connection: bounded in events and in bytes, with a policy for each kind of event."""

from service.realtime.event import Event, Policy

MAX_EVENTS = 1000
"""A reader so far behind is served better by `sync` than by a longer queue."""
MAX_BYTES = 1 << 20
DURABLE = Policy.DURABLE
EPHEMERAL_SHARE = 0.5
"""Ephemeral events may fill this share of the queue; the rest is kept for durable ones."""


class ConnectionQueue:
    """FIFO of encoded events, taken all at once.

    Invariants: `put` never blocks; order of the durable is order of arrival; at no time more than `max_events` events
    or `max_bytes` bytes wait. Where a durable event finds no room, the ephemeral ones that wait are dropped first.
    """

    __slots__ = ("_data", "_events", "_latest", "dropped", "max_bytes", "max_events", "size")

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.size = 0
        self.dropped = 0
        # Two lists, and not one of pairs: the collector of garbage has to look at every pair.
        self._events: list[Event] = []
        self._data: list[bytes] = []
        self._latest: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event, data: bytes) -> bool:
        """Take in `event`, encoded as `data`. False where a durable one finds no room: the connection must close."""
        if event.policy is not DURABLE:
            self._put_ephemeral(event, data)
            return True
        # Written out, for this is called for every event of every connection.
        size = self.size + len(data)
        if size > self.max_bytes or len(self._events) >= self.max_events:
            self._drop_ephemeral()
            size = self.size + len(data)
            if not self._fits(data, 1.0):
                return False
        self._events.append(event)
        self._data.append(data)
        self.size = size
        return True

    def take(self) -> bytes:
        """All that waits, as one run of bytes; nothing waits afterwards."""
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        self.clear()
        return data

    def events(self) -> list[Event]:
        return list(self._events)

    def discard_topic(self, topic: str) -> None:
        """Take out whatever waits of `topic`, durable or not: its reader is to have nothing of it any more."""
        self._keep([place for place, event in enumerate(self._events) if event.topic != topic])

    def clear(self) -> None:
        self._events.clear()
        self._data.clear()
        self._latest = None
        self.size = 0

    def _fits(self, data: bytes, share: float) -> bool:
        return len(self._events) < self.max_events * share and self.size + len(data) <= self.max_bytes * share

    def _put_ephemeral(self, event: Event, data: bytes) -> None:
        if event.policy is Policy.LATEST:
            if self._latest is None:
                self._latest = {}
            place = self._latest.get(event.key)
            if place is not None:
                grown = self.size + len(data) - len(self._data[place])
                if grown > self.max_bytes:
                    self.dropped += 1
                else:
                    self.size = grown
                    self._events[place], self._data[place] = event, data
                return
        if not self._fits(data, EPHEMERAL_SHARE):
            self.dropped += 1
            return
        if self._latest is not None and event.policy is Policy.LATEST:
            self._latest[event.key] = len(self._events)
        self._events.append(event)
        self._data.append(data)
        self.size += len(data)

    def _drop_ephemeral(self) -> None:
        kept = [place for place, event in enumerate(self._events) if event.policy is DURABLE]
        self.dropped += len(self._events) - len(kept)
        self._keep(kept)

    def _keep(self, places: list[int]) -> None:
        self._events = [self._events[place] for place in places]
        self._data = [self._data[place] for place in places]
        self._latest = {
            event.key: place for place, event in enumerate(self._events) if event.policy is Policy.LATEST
        } or None
        self.size = sum(map(len, self._data))
