"""`bus`: an event for a group of a thousand, over Redis to three other processes."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any, cast

from service.common.identity import Identity
from service.common.ids import new_id
from service.datastores.redis import connect
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.load import loa, wire
from tests.load.bench import BenchmarkContext
from tests.load.results import Record, Samples
from tests.running import ROOT

WORKLOAD = "bus"
CASE = "an event to a group of 1,000 on four processes"
DESCRIPTION = (
    "one process publishes, and holds no connection itself; three others hold one connection of the group each"
)
MEMBERS = 1000
LISTENERS = 3
EVENTS = 500
CHANNEL = "load"
ROUND_TIMEOUT = 60
"""Timeout of a round in seconds; it takes one or two."""


def run(bench: BenchmarkContext) -> list[Record]:
    samples = Samples(WORKLOAD)
    bench.progress.begin(WORKLOAD, bench.sizes.rounds)
    for number in range(1, bench.sizes.rounds + 1):
        bench.progress.step(f"{loa.NAME}, round {number} of {bench.sizes.rounds}")
        samples.add(CASE, loa.NAME, _measure(bench.database.redis_url, new_id()), description=DESCRIPTION)
    return samples.records()


def _measure(redis_url: str, channel: str) -> dict[str, float]:
    """Measure one round. Each round has its own channel, because a Redis server may have other users."""
    command = [sys.executable, "-m", "tests.load.bus", redis_url, channel]
    with ExitStack() as stack:

        def start(role: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen([*command, role], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            return process

        listeners = [start("listen") for _ in range(LISTENERS)]
        publisher = start("publish")
        metrics: dict[str, float] = json.loads(publisher.communicate(timeout=ROUND_TIMEOUT)[0])
        took = [float(listener.communicate(timeout=ROUND_TIMEOUT)[0]) for listener in listeners]
        assert [0] * LISTENERS == [listener.returncode for listener in listeners]
    return {**metrics, "receiver_ms": sum(took) / LISTENERS}


class Process:
    """The part of a Loa process that an event passes between the service and the connections."""

    def __init__(self, redis_url: str, channel: str) -> None:
        self.redis = connect(redis_url)
        self.bus = RedisBus(redis_url, f"{{{channel}}}")
        self.registry = Registry(TimerWheel())
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.members = [f"{number:024x}" for number in range(MEMBERS)]

    async def listen(self) -> None:
        """Receive all events, and print the milliseconds per event."""
        stream = EventStream(self.registry, Identity(self.members[-1], new_id(), new_id(), time.time() + 3600), CHANNEL)
        self.registry.register(stream)
        await self._start()
        began = time.process_time()
        async with asyncio.timeout(ROUND_TIMEOUT):
            while len(stream.queue) < EVENTS:
                await asyncio.sleep(0.01)
        print((time.process_time() - began) / EVENTS * 1000)

    async def publish(self) -> None:
        await self._start()
        commands, began = await self._commands(), time.process_time()
        for number in range(1, EVENTS + 1):
            event = Event("new_message", {"data": wire.marked_text()}, channel=CHANNEL, topic="load", sequence=number)
            self.dispatcher.publish(event, self.members)
            while self.bus.outbox_size:
                await asyncio.sleep(0)
        seconds = time.process_time() - began
        asked = await self._commands() - commands
        print(json.dumps({"cpu_ms": seconds / EVENTS * 1000, "commands": asked / EVENTS}))

    async def _start(self) -> None:
        await self.bus.start()
        print("ready", flush=True)

    async def _commands(self) -> int:
        """Return the number of PUBLISH commands, which includes a few heartbeats."""
        stats: dict[str, Any] = await cast(Any, self.redis.info("commandstats"))
        return int(stats.get("cmdstat_publish", {}).get("calls", 0))


if __name__ == "__main__":
    process = Process(*sys.argv[1:3])
    asyncio.run(process.listen() if sys.argv[3] == "listen" else process.publish())
