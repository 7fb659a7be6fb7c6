"""Rate limits of this one process, counted without a lock, a task or a network in between."""

import time
from collections.abc import Callable, Hashable

MAX_KEYS = 100_000
"""About 20 MB. Past it the oldest half is forgotten, and whoever was in it begins anew."""
FIRST_SWEEP = 1_000


class Buckets:
    """Each key may take `amount` at once, and gets them back evenly over `period` seconds (the GCRA algorithm).

    Of each key only the moment is kept at which all of its amount will be back; past that moment it is forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._back: dict[Hashable, float] = {}
        self._sweep_at = FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._back)

    def take(self, key: Hashable, amount: int, period: float) -> float:
        """0.0 where `key` may go on, and it has taken one; else the seconds until it may."""
        now = self._clock()
        back = max(self._back.get(key, now), now)
        wait = back + period / amount - now - period
        # A tolerance for the sum of many small fractions.
        if wait > 1e-6:
            return wait
        self._back[key] = back + period / amount
        if len(self._back) > self._sweep_at:
            self._sweep(now)
        return 0.0

    def _sweep(self, now: float) -> None:
        kept = {key: back for key, back in self._back.items() if back > now}
        if len(kept) > MAX_KEYS // 2:
            kept = dict(list(kept.items())[-MAX_KEYS // 2 :])
        self._back = kept
        # Twice as many as are left: so a sweep costs each `take` before it a constant share.
        self._sweep_at = max(FIRST_SWEEP, 2 * len(kept))
