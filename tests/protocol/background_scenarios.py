"""Scenarios that wait for timers of up to a minute, and so run in the background while other tests run."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from types import TracebackType

TIMEOUT = 240.0
"""Seconds after which a scenario counts as hanging; includes the wait for its server."""

Scenario = Callable[[], Awaitable[None]]


class BackgroundScenarios:
    """Runs all scenarios concurrently, on an event loop in a thread, while the block runs."""

    def __init__(self, scenarios: Mapping[str, Scenario]) -> None:
        self._scenarios = scenarios
        self._results: dict[str, Future[None]] = {name: Future() for name in scenarios}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="background_scenarios")

    def __enter__(self) -> "BackgroundScenarios":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()

    def wait_for(self, name: str) -> None:
        """Wait until the scenario has ended. Raises what the scenario raised."""
        self._results[name].result(TIMEOUT)

    async def _run(self) -> None:
        await asyncio.gather(*(self._run_one(name) for name in self._scenarios))

    async def _run_one(self, name: str) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._scenarios[name]()
        except BaseException as error:
            self._results[name].set_exception(error)
        else:
            self._results[name].set_result(None)
