"""Moving windows of requests, counted in this process and synchronised with the other processes."""

import time
from collections.abc import Mapping
from itertools import islice, takewhile

BUCKETS = 10
"""Parts of a period that are counted separately: a request counts for up to a tenth of the period longer."""
SHARE = 10
"""A process counts up to this part of a limit (a tenth) for each key before it compares with the others."""
MAX_KEYS = 50_000
"""Keys of one limit that are counted at a time, 20 MB. With more, those not used for longest are forgotten here, while
Redis still has what was compared."""


class Window:
    """The requests for one key within the last period, by bucket: the number of the part of the period since 1970.

    `counts` are those of all processes, as far as known. `pending` are those of this process that have not
    been sent to Redis; before the first comparison the two are one dictionary, for most windows are never compared.
    """

    __slots__ = ("_latest", "counts", "key", "limit", "pending", "pending_total", "total")

    def __init__(self, limit: "LocalWindows", key: str) -> None:
        self.limit = limit
        self.key = key
        self.counts: dict[int, int] = {}
        self.pending = self.counts
        self.total = 0
        self.pending_total = 0
        self._latest = 0

    @property
    def needs_sync(self) -> bool:
        """Whether the counts have to be compared before this process counts more."""
        return self.pending_total >= self.limit.share

    @property
    def is_active(self) -> bool:
        """Whether it comes near the limit, so that the processes have to compare their counts."""
        return self.total >= self.limit.share

    def advance(self, bucket: int) -> bool:
        """Forget what is more than a period older than `bucket`, or newer: the clock has been set back. Return whether
        `bucket` is another one than before; up to a period back it is not."""
        if self._latest - BUCKETS <= bucket <= self._latest:
            return False
        self._latest = bucket
        self._set(self.counts, self.pending)
        return True

    def is_idle(self, bucket: int) -> bool:
        return abs(bucket - self._latest) > BUCKETS

    def add(self, bucket: int) -> None:
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        if self.pending is not self.counts:
            self.pending[bucket] = self.pending.get(bucket, 0) + 1
        self.total += 1
        self.pending_total += 1

    def take_pending(self) -> dict[int, int]:
        """Return the pending counts, to be sent to Redis. `merge` or `restore` has to follow."""
        taken = dict(self.pending)
        self.pending, self.pending_total = {}, 0
        return taken

    def merge(self, counts: Mapping[int, int]) -> None:
        """Set the counts of all processes, which contain those taken."""
        self._set(_sum(counts, self.pending), self.pending)

    def restore(self, taken: Mapping[int, int]) -> None:
        """Make the counts taken pending again: Redis may not have them."""
        self._set(self.counts, _sum(taken, self.pending))

    def _set(self, counts: Mapping[int, int], pending: Mapping[int, int]) -> None:
        # Newer ones are of a process whose clock is ahead.
        oldest, newest = self._latest - BUCKETS, self._latest + BUCKETS
        self.counts = {bucket: count for bucket, count in counts.items() if oldest <= bucket <= newest}
        if pending is counts:
            self.pending = self.counts
        else:
            self.pending = {bucket: count for bucket, count in pending.items() if oldest <= bucket <= newest}
        self.total = sum(self.counts.values())
        self.pending_total = sum(self.pending.values())


class LocalWindows:
    """The windows of one limit, by key. Bounded: the key that was not used for longest is forgotten first.

    No request is accepted if that makes more than `amount` in any `period` on this process, and none is refused
    unless that would make more than `amount` in 1.1 periods; 2.1 if the clock has been set back, or that of another
    process is ahead.
    """

    def __init__(self, name: str, amount: int, period: float) -> None:
        """`period`: seconds."""
        self.name = name
        self.amount = amount
        self.share = max(1, amount // SHARE)
        self.bucket_seconds = period / BUCKETS
        self._windows: dict[str, Window] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def window(self, key: str) -> Window:
        """Return the window of `key`, up to now."""
        bucket = self._bucket(time.time())
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= MAX_KEYS:
                del self._windows[next(iter(self._windows))]
            window = self._windows[key] = Window(self, key)
            window.advance(bucket)
        elif window.advance(bucket):
            # Moved to the end, so that the first one is the one that was not used for longest.
            del self._windows[key]
            self._windows[key] = window
        return window

    def hit(self, window: Window) -> float:
        """Count one request; return the seconds to wait, 0 if it is within the limit."""
        now = time.time()
        bucket = self._bucket(now)
        window.advance(bucket)
        if window.total < self.amount:
            window.add(bucket)
            return 0.0
        remaining = window.total
        for oldest in sorted(window.counts):
            remaining -= window.counts[oldest]
            if remaining < self.amount:
                break
        return max((oldest + BUCKETS + 1) * self.bucket_seconds - now, 0.1)

    def forget_idle(self, limit: int) -> int:
        """Forget at most `limit` keys without a request in the last period; return how many."""
        bucket = self._bucket(time.time())
        idle = list(takewhile(lambda window: window.is_idle(bucket), islice(self._windows.values(), limit)))
        for window in idle:
            del self._windows[window.key]
        return len(idle)

    def _bucket(self, now: float) -> int:
        return int(now / self.bucket_seconds)


def _sum(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    return {bucket: one.get(bucket, 0) + other.get(bucket, 0) for bucket in {*one, *other}}
