"""Sessions and retryable writes that have ended: SecantusDB looks for them with every command."""

import time
from collections.abc import Callable
from typing import Any

PRUNE_INTERVAL = 10.0
"""Seconds between two searches for sessions, and for retryable writes, that have ended."""


def prune_seldom(registry: Any, method: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Let `registry` call its `method`, which drops what is too old, at most once in PRUNE_INTERVAL.

    SecantusDB calls it with every command, to go through all sessions, and twice with every write, to go through the
    last 10,000 writes. They tripled the processor time of a write.
    """
    prune, pruned_at = getattr(registry, method), clock()

    def prune_if_due() -> int:
        nonlocal pruned_at
        if clock() - pruned_at < PRUNE_INTERVAL:
            return 0
        pruned_at = clock()
        return int(prune() or 0)

    setattr(registry, method, prune_if_due)
