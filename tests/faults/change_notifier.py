"""Waiting for a condition without polling."""

import asyncio
from collections.abc import Callable

WAIT_TIMEOUT = 60.0


class ChangeNotifier:
    """Code that changes state calls `notify`; `wait_until` checks its condition after each notification."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait_until(self, condition: Callable[[], object], what: str, timeout: float = WAIT_TIMEOUT) -> None:
        """Wait for the condition. Raises AssertionError after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._event.wait()
        except TimeoutError:
            raise AssertionError(f"not within {timeout:.0f} s: {what}") from None
