"""Progress display: a bar, or one line per step without tqdm or without a terminal."""

import sys
from types import TracebackType
from typing import Any

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None

REFRESH = 0.5
"""Seconds between redraws, as rare as a person needs, because drawing uses the clients' core."""


class Progress:
    """Call `begin` for a workload, `step` for each step, and `tick` during long steps."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self, workload: str, steps: int) -> None:
        self._close()
        self._workload = workload
        if tqdm is not None and sys.stderr.isatty():
            self._bar = tqdm(total=steps, mininterval=REFRESH, bar_format="{l_bar}{bar}| {elapsed}<{remaining} {desc}")

    def step(self, what: str) -> None:
        if self._bar is None:
            print(f"{self._workload}: {what}", file=sys.stderr, flush=True)
        else:
            self._bar.set_description_str(f"{self._workload}: {what}", refresh=False)
            self._bar.update()

    def tick(self) -> None:
        if self._bar is not None:
            self._bar.update(0)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.write(text, file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
