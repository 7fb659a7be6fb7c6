"""Waiting for what somebody will tell of."""

import asyncio
from collections.abc import Callable

PATIENCE = 60.0


class Changes:
    """Whoever changes something tells; whoever waits for a condition looks whenever something was told."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        told, self._told = self._told, asyncio.Event()
        told.set()

    async def until(self, condition: Callable[[], object], what: str, within: float = PATIENCE) -> None:
        """Raises AssertionError where it is not so `within` so many seconds."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    await self._told.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within:.0f} s: {what}") from None
