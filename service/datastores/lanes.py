"""Batches of appends to many lists. A list that other processes append to, too, or that gets many items, has batches of
its own (a lane)."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic

from service.common.errors import Unavailable
from service.datastores.batcher import BATCH_TIMEOUT, MAX_BATCH, Batcher, Contended, Entry, Item, Result

LANE_SECONDS = 10.0
"""How long after its last collision a list counts as contended, and after its last large batch as busy. Each time it
becomes contended again, lists that share its batch may need a second insert."""
BUSY = 8
"""Items of one list in a batch: from then on it gets a lane, so that the items of others do not wait for so many."""
MAX_LANE_BATCH = 32
"""Items of a batch of a list that is busy, but not contended. The embedded database does one write at a time, so the
other lists wait for it; several small batches take it no longer than a large one."""
MAX_LANES = 256
"""Lanes of one process. Each may have one write in flight."""


class Contention:
    """Whether other processes append to a list: they do if a number was lost in the last LANE_SECONDS."""

    def __init__(self) -> None:
        self._lost_at = self._busy_at = -LANE_SECONDS

    def lost(self) -> None:
        """Note that another process took a number first."""
        self._lost_at = time.monotonic()

    def busy(self) -> None:
        """Note that a batch of the list had many items."""
        self._busy_at = time.monotonic()

    @property
    def recent(self) -> bool:
        return time.monotonic() - self._lost_at < LANE_SECONDS

    @property
    def needs_lane(self) -> bool:
        """Whether the list is contended or busy."""
        return time.monotonic() - max(self._lost_at, self._busy_at) < LANE_SECONDS


class Lanes(Generic[Item, Result]):
    """Like a Batcher, whose items each belong to a list (`list_of(item)`).

    All lists share batches, which is what makes appends cheap: one insert for many lists. If `run` finds that another
    process has taken a number first, it returns Contended for all items of that list that it has not stored. They go
    to a lane of that list, followed by those that wait and by later ones, so the items of a list stay in order. In its
    lane, the items wait, read and try again alone; meanwhile the other lists go on. Batches of different lanes run at
    the same time, those of one list never.

    With `busy_lanes`, a list with BUSY items or more in a shared batch gets a lane, too: large batches take long. It
    costs an insert for each of these lists, where a shared batch needs one for all.

    `run(items, contention)` gets the contention of the lane, or None in a shared batch.

    To send the appends of a contended list to one process for all ("its home") would save the collisions. It would need
    a protocol between processes, with a second answer to who stores what if the home dies. Lanes need none. They
    protect the other lists; the contended list itself still pays for collisions: at most two commands a document if
    twenty wait in each of sixteen processes (`tests/datastores/test_lanes.py`), more if they come one by one.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item], Contention | None], Awaitable[Sequence[Result | Exception]]],
        *,
        list_of: Callable[[Item], Hashable],
        max_batch: int = MAX_BATCH,
        timeout: float = BATCH_TIMEOUT,
        on_batch: Callable[[int], None] | None = None,
        on_results: Callable[[Sequence[Item], Sequence[Result | Exception]], None] | None = None,
        busy_lanes: bool = False,
    ) -> None:
        """For `max_batch`, `timeout` (seconds), `on_batch`, `on_results` see Batcher; they apply to each lane."""
        self._list_of = list_of
        self._new_batcher = partial(
            Batcher[Item, Result],
            max_batch=max_batch,
            timeout=timeout,
            on_batch=on_batch,
            on_results=on_results,
            name=run.__qualname__,
        )
        self._max_batch = max_batch
        self._run = run
        self._busy_lanes = busy_lanes
        self._shared = self._new_batcher(self._run_shared, on_contended=self._open_lanes)
        self._lanes: dict[Hashable, tuple[Batcher[Item, Result], Contention]] = {}

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue `item` behind the earlier ones of its list and return the future of its result. Raises Unavailable."""
        if self._lanes:
            key = self._list_of(item)
            if key in self._lanes and not self._close_if_over(key):
                return self._lanes[key][0].submit(item)
        return self._shared.submit(item)

    async def close(self, timeout: float = 5.0) -> None:
        """Refuse new items and run the waiting ones for at most `timeout` seconds; the rest get Unavailable."""
        end = time.monotonic() + timeout
        await self._shared.close(timeout)
        left = max(0.0, end - time.monotonic())
        await asyncio.gather(*[batcher.close(left) for batcher, _ in self._lanes.values()])

    async def _run_shared(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        sizes = Counter(map(self._list_of, items)) if self._busy_lanes else {}
        busy = {key for key, size in sizes.items() if self._is_busy(size)}
        if not busy or len(self._lanes) + len(busy) > MAX_LANES:
            return await self._run(items, None)
        rest = [item for item in items if self._list_of(item) not in busy]
        results = iter(await self._run(rest, None) if rest else ())
        return [Contended() if self._list_of(item) in busy else next(results) for item in items]

    def _open_lanes(self, entries: Sequence[Entry[Item, Result]]) -> None:
        by_list: dict[Hashable, list[Entry[Item, Result]]] = {}
        for entry in entries:
            by_list.setdefault(self._list_of(entry.item), []).append(entry)
        for key, of_list in by_list.items():
            of_list += self._shared.take(lambda item, key=key: self._list_of(item) == key)  # type: ignore[misc]
            if len(self._lanes) >= MAX_LANES:
                for other in list(self._lanes):
                    self._close_if_over(other)
            if len(self._lanes) < MAX_LANES:
                self._lanes[key] = self._new_lane(len(of_list))
                self._lanes[key][0].put(of_list)
                continue
            for entry in of_list:
                if not entry.future.done():
                    entry.future.set_exception(Unavailable("Too many lists have several writers.", retry_after=1))

    def _new_lane(self, size: int) -> tuple[Batcher[Item, Result], Contention]:
        contention = Contention()
        if self._is_busy(size):
            # It may be contended as well, which its first batch notices.
            contention.busy()
        else:
            contention.lost()

        async def run(items: Sequence[Item]) -> Sequence[Result | Exception]:
            if self._is_busy(len(items)):
                contention.busy()
            results = await self._run(items, contention)
            batcher.max_batch = size_of()
            return results

        def size_of() -> int:
            small = self._busy_lanes and not contention.recent
            return min(self._max_batch, MAX_LANE_BATCH) if small else self._max_batch

        batcher = self._new_batcher(run, max_batch=size_of())
        return batcher, contention

    def _is_busy(self, size: int) -> bool:
        return self._busy_lanes and size >= BUSY

    def _close_if_over(self, key: Hashable) -> bool:
        batcher, contention = self._lanes[key]
        if contention.needs_lane or not batcher.idle:
            return False
        del self._lanes[key]
        return True
