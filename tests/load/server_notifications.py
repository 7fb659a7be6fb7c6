"""`server_notifications`: a server of the site notifies many people in one call, again and again.

Some of the people have an event stream. Each must receive the notifications of all calls in order, none twice.
"""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget

WORKLOAD = "server_notifications"
KEY = "a-key-of-the-load-test-only-on-loopback"
WATCHERS = 10
"""People with an event stream."""
CREATING = 16
"""People who are created at the same time."""
ARRIVAL_TIMEOUT = 60.0
"""Seconds from the last answer to the last notification on a stream."""


def run(bench: BenchmarkContext) -> list[Record]:
    samples, sizes = Samples(WORKLOAD), bench.sizes
    bench.progress.begin(WORKLOAD, 1)
    case = f"{sizes.recipients} people"
    bench.progress.step(f"{loa.NAME}, {sizes.calls} calls, {case} each")
    try:
        with loa.loa(bench.database, bench.cores, bench.work, {"API_KEYS": f"load:{KEY}"}) as target:
            metrics = bench.database.run(_Calls(bench, target).measure())
        samples.add(case, loa.NAME, metrics, description=target.description)
    except RunFailed as failure:
        samples.fail(case, loa.NAME, str(failure))
    return samples.records()


class _Calls:
    """The calls of one run, to people of its own."""

    def __init__(self, bench: BenchmarkContext, target: LoadTarget) -> None:
        self._bench = bench
        self._target = target
        host, port = target.address
        self._url = f"http://{host}:{port}/api/v1"
        self._people = [f"load-{time.time_ns()}-{number}" for number in range(bench.sizes.recipients)]

    async def measure(self) -> dict[str, float]:
        """Raises RunFailed."""
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(
                httpx.AsyncClient(headers=_bearer(KEY), timeout=ARRIVAL_TIMEOUT)
            )
            await self._create_people()
            watching = [await self._watch(stack, external_id) for external_id in self._people[-WATCHERS:]]
            self._bench.wait_until_idle(self._target)
            datastores = self._bench.start_cpu_clock(self._target)
            times = [await self._notify(number) for number in range(self._bench.sizes.calls)]
            server, database = datastores.stop()
            try:
                async with asyncio.timeout(ARRIVAL_TIMEOUT):
                    await asyncio.gather(*watching)
            except TimeoutError:
                raise RunFailed("not every notification arrived on the streams") from None
        calls = len(times)
        return {
            "p50_ms": statistics.median(times) * 1e3,
            "max_ms": max(times) * 1e3,
            "cpu_ms": server / calls * 1e3,
            "database_ms": database / calls * 1e3,
        }

    async def _create_people(self) -> None:
        slots = asyncio.Semaphore(CREATING)

        async def create(external_id: str) -> None:
            async with slots:
                await self._call("PUT", f"/server/users/{external_id}", {"display_name": "Somebody"})
                self._bench.progress.tick()

        await asyncio.gather(*map(create, self._people))

    async def _notify(self, number: int) -> float:
        """Notify everybody. Returns the seconds until the answer."""
        body = {"type": "LOAD_TEST", "to": self._people, "preview": f"Number {number}", "nonce": str(number)}
        began = time.perf_counter()
        answer = await self._call("POST", "/server/notifications", body)
        taken = time.perf_counter() - began
        if answer != {"accepted": len(self._people), "unknown": []}:
            raise RunFailed(f"not everybody was notified: {answer}")
        self._bench.progress.tick()
        return taken

    async def _watch(self, stack: AsyncExitStack, external_id: str) -> "asyncio.Task[None]":
        """Open a stream. The task ends when the notifications of all calls have arrived, in order."""
        token = (await self._call("POST", f"/server/users/{external_id}/tokens", {}))["access_token"]
        source = await stack.enter_async_context(
            aconnect_sse(self._http, "GET", f"{self._url}/notifications/stream", headers=_bearer(token))
        )
        events = source.aiter_sse()
        await anext(events)  # hello

        async def receive() -> None:
            arrived = (event.id async for event in events if event.event == "message")
            for seq in range(1, self._bench.sizes.calls + 1):
                if (id := await anext(arrived)) != str(seq):
                    raise RunFailed(f"notification {id} arrived in place of {seq}")

        return asyncio.create_task(receive())

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = await self._http.request(method, f"{self._url}{path}", json=body)
        if not answer.is_success:
            raise RunFailed(f"{method} {path} was answered with {answer.status_code}")
        return answer.json()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
