"""`bus`: an event over Redis to other processes, by the number of its members and of the processes."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, cast

import uvloop

from service.common.identity import Identity
from service.common.ids import new_id
from service.datastores.redis import connect
from service.realtime import heartbeats, redis_bus
from service.realtime.addresses import room_address, user_address
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.load import wire
from tests.load.bench import BenchmarkContext
from tests.load.results import Record, Samples
from tests.running import ROOT
from tests.scale.bus_process import CountingBus

WORKLOAD = "bus"
DESCRIPTION = (
    "one process publishes, and holds no connection itself; one other holds the connection of one member, and the rest "
    "hold none"
)
EVENTS = 500
CHANNEL = "load"
TOPIC = "load"
VERSION = 1
"""The version of the membership, which does not change."""
FINISHED = "finished"
ROUND_TIMEOUT = 60
"""Timeout of a round in seconds; it takes one or two."""


def case(processes: int) -> str:
    return f"an event on {processes} processes, by number of members"


def run(bench: BenchmarkContext) -> list[Record]:
    sizes, samples = bench.sizes, Samples(WORKLOAD)
    bench.progress.begin(WORKLOAD, sizes.rounds * len(sizes.processes) * len(sizes.members))
    for number in range(1, sizes.rounds + 1):
        for processes in sizes.processes:
            for members in sizes.members:
                bench.progress.step(f"round {number} of {sizes.rounds}, {members:,} members on {processes} processes")
                metrics = _measure(bench.database.redis_url, processes, members)
                samples.add(case(processes), f"{members:,}", metrics, description=DESCRIPTION, size=members)
    return samples.records()


def _measure(redis_url: str, processes: int, members: int) -> dict[str, float]:
    """Measure one round. Each round has its own channel, because a Redis server may have other users."""
    command = [sys.executable, "-m", "tests.load.bus", redis_url, new_id(), str(members)]
    with ExitStack() as stack:

        def start(role: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen([*command, role], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            return process

        receiver, *others = [start(role) for role in ["receive", *["idle"] * (processes - 2)]]
        publisher = start("publish")
        metrics: dict[str, float] = json.loads(publisher.communicate(timeout=ROUND_TIMEOUT)[0])
        own, *foreign = [json.loads(each.communicate(timeout=ROUND_TIMEOUT)[0]) for each in (receiver, *others)]
        assert {0} == {each.returncode for each in (receiver, *others)}
    kilobytes = metrics.pop("bytes") / processes / 1000
    foreign_us, foreign_messages = (sum(each[name] for each in foreign) / len(foreign) for name in ("us", "messages"))
    return {
        "foreign_us": foreign_us,
        "foreign_messages": foreign_messages,
        "own_us": own["us"],
        **metrics,
        "kilobytes": kilobytes,
    }


class Process:
    """The part of a Loa process that an event passes between the service and the connections."""

    def __init__(self, redis_url: str, channel: str, members: int) -> None:
        self.redis = connect(redis_url)
        self.bus = CountingBus(redis_url, f"{{{channel}}}")
        self.registry = Registry(TimerWheel())
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.members = [f"{number:024x}" for number in range(members)]
        self._finished = asyncio.Event()
        self.bus.on(FINISHED, lambda head, body: self._finished.set())

    async def receive(self) -> None:
        """Receive all events for one member, and print what each took; see `_finish`."""
        stream = EventStream(self.registry, Identity(self.members[-1], new_id(), new_id(), time.time() + 3600), CHANNEL)
        self.registry.register(stream)
        self.dispatcher.join_room(TOPIC, 0, self.members[-1])
        self.dispatcher.remember_members(TOPIC, VERSION, self.members)
        await self._start(room_address(TOPIC), user_address(self.members[-1]))
        await self._finish()
        assert EVENTS == len(stream.queue)

    async def idle(self) -> None:
        """Receive what arrives, and print the same."""
        await self._start()
        await self._finish()

    async def _finish(self) -> None:
        """Print, for each event, the microseconds of processor time, which includes what the process does without any,
        and the messages that arrived, apart from those to all processes."""
        began = time.process_time()
        await asyncio.wait_for(self._finished.wait(), ROUND_TIMEOUT)
        us = (time.process_time() - began) / EVENTS * 1e6
        print(json.dumps({"us": us, "messages": self.bus.messages_received / EVENTS}))

    async def publish(self) -> None:
        await self._start()
        before, began = await self._counters(), time.process_time()
        for number in range(1, EVENTS + 1):
            event = Event("new_message", {"data": wire.marked_text()}, channel=CHANNEL, topic=TOPIC, sequence=number)
            self.dispatcher.publish(event, self.members, room=True, version=VERSION)
            while self.bus.outbox_size:
                # Not 0: while Redis works, a loop would use processor time, which is measured.
                await asyncio.sleep(0.0002)
        seconds = time.process_time() - began
        commands, sent = [after - first for first, after in zip(before, await self._counters(), strict=True)]
        metrics = {"cpu_ms": seconds / EVENTS * 1000, "commands": commands / EVENTS, "bytes": sent / EVENTS}
        self.bus.publish(FINISHED, {})
        await self.bus.close()
        print(json.dumps(metrics))

    async def _start(self, *addresses: str) -> None:
        """Start, and wait until the messages to these addresses arrive."""
        await self.bus.start()
        async with asyncio.timeout(ROUND_TIMEOUT):
            while not all(map(self.bus.is_subscribed, addresses)):
                await asyncio.sleep(0.001)
        print("ready", flush=True)

    async def _counters(self) -> tuple[int, int]:
        """Return the number of PUBLISH commands and of the bytes that Redis has sent."""
        info: dict[str, Any] = await cast(Any, self.redis.info("commandstats", "stats"))
        return int(info.get("cmdstat_publish", {}).get("calls", 0)), int(info["total_net_output_bytes"])


def main(redis_url: str, channel: str, members: str, role: str) -> None:
    async def play() -> None:
        process = Process(redis_url, channel, int(members))
        roles: dict[str, Callable[[], Awaitable[None]]] = {
            "receive": process.receive,
            "idle": process.idle,
            "publish": process.publish,
        }
        await roles[role]()

    # Only events are to be counted; the first heartbeat is sent at the start.
    heartbeats.INTERVAL = ROUND_TIMEOUT
    # No process of the version before takes part, for which events would be sent twice.
    redis_bus.EARLIER_TIMEOUT = 0
    # As a worker.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


if __name__ == "__main__":
    main(*sys.argv[1:])
