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

    __slots__ = ("_items", "_latest", "dropped", "max_bytes", "max_events", "size")

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.size = 0
        self.dropped = 0
        self._items: list[tuple[Event, bytes]] = []
        self._latest: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, event: Event, data: bytes) -> bool:
        """Take in `event`, encoded as `data`. False where a durable one finds no room: the connection must close."""
        if event.policy is not DURABLE:
            self._put_passing(event, data)
            return True
        # Written out, for this is called for every event of every connection.
        size = self.size + len(data)
        if size > self.max_bytes or len(self._items) >= self.max_events:
            self._drop_passing()
            size = self.size + len(data)
            if not self._fits(data, 1.0):
                return False
        self._items.append((event, data))
        self.size = size
        return True

    def take(self) -> bytes:
        """All that waits, as one run of bytes; nothing waits afterwards."""
        items = self._items
        if len(items) == 1:
            data = items[0][1]
        else:
            data = b"".join([encoded for _, encoded in items])
        self.clear()
        return data

    def events(self) -> list[Event]:
        return [event for event, _ in self._items]

    def clear(self) -> None:
        self._items = []
        self._latest = None
        self.size = 0

    def _fits(self, data: bytes, share: float) -> bool:
        return len(self._items) < self.max_events * share and self.size + len(data) <= self.max_bytes * share

    def _put_passing(self, event: Event, data: bytes) -> None:
        if event.policy is Policy.LATEST:
            if self._latest is None:
                self._latest = {}
            place = self._latest.get(event.key)
            if place is not None:
                grown = self.size + len(data) - len(self._items[place][1])
                if grown > self.max_bytes:
                    self.dropped += 1
                else:
                    self.size = grown
                    self._items[place] = (event, data)
                return
        if not self._fits(data, EPHEMERAL_SHARE):
            self.dropped += 1
            return
        if self._latest is not None and event.policy is Policy.LATEST:
            self._latest[event.key] = len(self._items)
        self._items.append((event, data))
        self.size += len(data)

    def _drop_passing(self) -> None:
        kept = [item for item in self._items if item[0].policy is Policy.DURABLE]
        self.dropped += len(self._items) - len(kept)
        self._items = kept
        self._latest = None
        self.size = sum(len(data) for _, data in kept)
