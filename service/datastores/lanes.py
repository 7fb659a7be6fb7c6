"""Batches of appends to many lists: a list that other processes append to, too, gets batches of its own (a lane)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic

from service.common.errors import Unavailable
from service.datastores.batcher import BATCH_TIMEOUT, MAX_BATCH, Batcher, Entry, Item, Result

LANE_SECONDS = 10.0
"""How long after its last collision a list counts as contended. Each time it becomes contended again, lists that share
its batch may need a second insert."""
MAX_LANES = 256
"""Lanes of one process. Each may have one write in flight."""


class Contention:
    """Whether other processes append to a list: they do if a number was lost in the last LANE_SECONDS."""

    def __init__(self) -> None:
        self._lost_at = time.monotonic()

    def lost(self) -> None:
        """Note that another process took a number first."""
        self._lost_at = time.monotonic()

    @property
    def recent(self) -> bool:
        return time.monotonic() - self._lost_at < LANE_SECONDS


class Lanes(Generic[Item, Result]):
    """Like a Batcher, whose items each belong to a list (`list_of(item)`).

    All lists share batches, which is what makes appends cheap: one insert for many lists. If `run` finds that another
    process has taken a number first, it returns Contended for all items of that list that it has not stored. They go
    to a lane of that list, followed by those that wait and by later ones, so the items of a list stay in order. In its
    lane, the items wait, read and try again alone; meanwhile the other lists go on. Batches of different lanes run at
    the same time, those of one list never.

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
    ) -> None:
        """For `max_batch`, `timeout` (seconds), `on_batch` see Batcher; they apply to each lane."""
        self._list_of = list_of
        self._new_batcher = partial(
            Batcher[Item, Result], max_batch=max_batch, timeout=timeout, on_batch=on_batch, name=run.__qualname__
        )
        self._run = run
        self._shared = self._new_batcher(lambda items: run(items, None), on_contended=self._open_lanes)
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
                self._lanes[key] = self._new_lane()
                self._lanes[key][0].put(of_list)
                continue
            for entry in of_list:
                if not entry.future.done():
                    entry.future.set_exception(Unavailable("Too many lists have several writers.", retry_after=1))

    def _new_lane(self) -> tuple[Batcher[Item, Result], Contention]:
        contention = Contention()
        return self._new_batcher(lambda items: self._run(items, contention)), contention

    def _close_if_over(self, key: Hashable) -> bool:
        batcher, contention = self._lanes[key]
        if contention.recent or not batcher.idle:
            return False
        del self._lanes[key]
        return True
