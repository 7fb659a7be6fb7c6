"""Compares the windows of this process with those of all others, through Redis."""

import asyncio
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from redis.asyncio import ConnectionPool, Redis

from service.common.tasks import cancel_and_wait
from service.datastores.redis import REDIS_ERRORS, is_cluster
from service.http.local_window import BUCKETS, Window

log = structlog.get_logger()

SYNC_INTERVAL = 1.0
"""Seconds between two comparisons of a window that comes near its limit."""
SLOTS = 16
"""Hash tags over which the keys are spread in a cluster: enough for a dozen nodes. Each has a connection."""
REDIS_COOLDOWN = 5.0
"""Seconds for which Redis is not used after it failed."""
REDIS_TIMEOUT = 0.5
"""Seconds that one exchange may take. Requests that have used up their share wait for it."""
MAX_BATCH = 100
"""Windows in one command, which takes Redis less than a millisecond."""

SCRIPT = """
local counts, at = {}, 1
for number, key in ipairs(KEYS) do
  local milliseconds, oldest, added = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  for _ = 1, added do
    redis.call('HINCRBY', key, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  local kept, stored = {}, redis.call('HGETALL', key)
  for field = 1, #stored, 2 do
    if tonumber(stored[field]) < oldest then
      redis.call('HDEL', key, stored[field])
    else
      kept[#kept + 1] = stored[field]
      kept[#kept + 1] = stored[field + 1]
    end
  end
  redis.call('PEXPIRE', key, milliseconds)
  counts[number] = table.concat(kept, ' ')
end
return counts
"""
"""Adds to hashes of counts by bucket, removes the buckets that are too old, and returns the others of each hash."""


def spread(tag: str) -> list[str]:
    """Return the hash tags over which keys are spread in a cluster: `{loa:limits:0}` and so on for `{loa:limits}`."""
    return [f"{tag.removesuffix('}')}:{number}}}" for number in range(SLOTS)]


def slot(key: str) -> int:
    """Return which of the hash tags of `spread` the key has."""
    return zlib.crc32(key.encode()) % SLOTS


class Slot:
    """The keys of one hash tag, which are on one node."""

    def __init__(self, pool: ConnectionPool, tag: str) -> None:
        self.redis = Redis(connection_pool=pool)
        self.tag = tag
        self.retry_at = 0.0
        """Until this time of the monotonic clock, Redis is not used because it has failed."""
        self._script = self.redis.register_script(SCRIPT)

    async def exchange(self, windows: Sequence[Window], taken: Sequence[dict[int, int]]) -> None:
        """Add the counts taken from these windows, and merge those of all processes into them. Raises one of
        REDIS_ERRORS."""
        arguments: list[Any] = []
        for window, counts in zip(windows, taken, strict=True):
            milliseconds = int(1000 * window.limit.bucket_seconds * (BUCKETS + 1)) + 1
            oldest = int(time.time() / window.limit.bucket_seconds) - BUCKETS
            arguments += (milliseconds, oldest, len(counts))
            for bucket, count in counts.items():
                arguments += (bucket, count)
        keys = [f"{self.tag}:{window.limit.name}:{window.key}" for window in windows]
        for window, stored in zip(windows, await self._script(keys=keys, args=arguments), strict=True):
            numbers = [int(number) for number in stored.split()]
            window.merge(dict(zip(numbers[::2], numbers[1::2], strict=True)))


class WindowSync:
    """Exchanges the counts of this process with those of the others.

    Windows are compared in batches: at once if `sync` is called, and those given to `add` every SYNC_INTERVAL seconds.
    While Redis is unavailable nothing is compared, and the counts remain pending. Those of a command whose reply was
    lost may count twice.
    """

    def __init__(self, pool: Callable[[str], ConnectionPool], tag: str) -> None:
        """`pool(tag)` returns a pool of connections to the node that serves `tag`."""
        self._pool = pool
        self._tag = tag
        self._slots = [Slot(pool(tag), tag)]
        self._knows_slots = False
        self._due: set[Window] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None

    def add(self, window: Window) -> None:
        """Compare `window` with the next batch."""
        self._due.add(window)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SYNC_INTERVAL, self._on_timer)

    def is_available(self, window: Window) -> bool:
        """Return whether `sync` would use Redis."""
        return time.monotonic() >= self._slot_of(window).retry_at

    async def sync(self, window: Window) -> None:
        """Compare `window` now, with those that are waiting, or wait for the running batch; not longer than
        REDIS_TIMEOUT."""
        self._due.add(window)
        # The timeouts in the task are not enough: redis-py swallows a cancellation that arrives while it connects.
        done, _ = await asyncio.wait([self._start()], timeout=REDIS_TIMEOUT)
        for task in done:
            task.result()
        if not done and self.is_available(window):
            self._note_failure(self._slot_of(window), TimeoutError())

    async def close(self) -> None:
        """Send the pending counts, if Redis answers, and close the connections."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._due:
            await asyncio.wait([self._start()], timeout=REDIS_TIMEOUT)
        await cancel_and_wait(self._running)
        for slot in self._slots:
            await slot.redis.aclose()
            await slot.redis.connection_pool.aclose()

    def _on_timer(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._sync_due())
        return self._running

    async def _sync_due(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        due, self._due = self._due, set()
        if not self._knows_slots and not await self._find_slots():
            return
        by_slot: dict[Slot, list[Window]] = {}
        for window in due:
            by_slot.setdefault(self._slot_of(window), []).append(window)
        await asyncio.gather(*(self._sync_slot(slot, windows) for slot, windows in by_slot.items()))
        if self._due:
            # The timer may have fired while this batch was running.
            self.add(next(iter(self._due)))

    async def _find_slots(self) -> bool:
        """Find out whether Redis is a cluster. Return whether it answered."""
        (only,) = self._slots
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                clustered = await is_cluster(only.redis)
        except REDIS_ERRORS as error:
            self._note_failure(only, error)
            return False
        if clustered:
            self._slots = [Slot(self._pool(tag), tag) for tag in spread(self._tag)]
            await only.redis.connection_pool.aclose()
        self._knows_slots = True
        return True

    async def _sync_slot(self, slot: Slot, windows: Sequence[Window]) -> None:
        if time.monotonic() < slot.retry_at:
            return
        for batch in _batches(windows):
            taken = [window.take_pending() for window in batch]
            try:
                async with asyncio.timeout(REDIS_TIMEOUT):
                    await slot.exchange(batch, taken)
            except BaseException as error:
                for window, counts in zip(batch, taken, strict=True):
                    window.restore(counts)
                if not isinstance(error, REDIS_ERRORS):
                    raise
                self._note_failure(slot, error)
                return

    def _note_failure(self, slot: Slot, error: BaseException) -> None:
        slot.retry_at = time.monotonic() + REDIS_COOLDOWN
        log.warning("rate_limits_not_shared", error=type(error).__name__, seconds=REDIS_COOLDOWN)

    def _slot_of(self, window: Window) -> Slot:
        if len(self._slots) == 1:
            return self._slots[0]
        return self._slots[slot(window.key)]


def _batches(windows: Sequence[Window]) -> Iterable[Sequence[Window]]:
    for start in range(0, len(windows), MAX_BATCH):
        yield windows[start : start + MAX_BATCH]
