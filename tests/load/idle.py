"""`idle`: the memory of connections that say nothing, each server started anew for each round."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from tests.load import loa, machine
from tests.load.bench import Bench
from tests.load.clients import RunFailed, Traffic
from tests.load.native import CannotBuild
from tests.load.results import Record, Samples
from tests.load.subject import CannotStart, Subject
from tests.load.wire import Address

WORKLOAD = "idle"
SOCKET, STREAM = "WebSocket", "event stream"
STREAMS = "idle-streams"
"""What the catalog calls event streams that say nothing."""


class Entry(NamedTuple):
    case: str
    name: str
    start: Callable[[], AbstractContextManager[Subject]]
    traffic: Callable[[int], Callable[[Address], Traffic]]
    """With so many connections."""


def run(bench: Bench) -> list[Record]:
    samples, world = Samples(WORKLOAD), bench.world
    entries = [
        Entry(SOCKET, loa.NAME, bench.fresh_loa, lambda count: lambda address: loa.group(world, address, count)),
        Entry(STREAM, loa.NAME, bench.fresh_loa, lambda count: lambda address: loa.streams(world, address, count, 0)),
    ]
    for case, workload in ((SOCKET, WORKLOAD), (STREAM, STREAMS)):
        for peer in bench.peers_of(workload):
            start, traffic = partial(bench.running, peer), partial(peer.traffic, workload)
            entries.append(Entry(case, peer.name, start, traffic))
    bench.progress.begin(WORKLOAD, bench.sizes.rounds * len(entries))
    for number in range(1, bench.sizes.rounds + 1):
        for entry in entries:
            bench.progress.step(f"{entry.name}, {entry.case}, round {number} of {bench.sizes.rounds}")
            try:
                _measure(bench, samples, entry)
            except (CannotStart, CannotBuild, RunFailed) as error:
                samples.fail(entry.case, entry.name, str(error))
                bench.progress.say(f"{entry.name}, {entry.case}: {error}")
    return samples.records()


def _measure(bench: Bench, samples: Samples, entry: Entry) -> None:
    """What the later ones add to what the first ones, which still pay for what is needed but once, have left."""
    sizes = bench.sizes
    with (
        entry.start() as subject,
        bench.clients(subject, entry.traffic(sizes.first)(subject.address)) as first,
        bench.clients(subject, entry.traffic(sizes.idle)(subject.address)) as rest,
    ):
        first.open()
        bench.settle(subject)
        before = machine.resident_bytes(subject.pids())
        rest.open()
        bench.settle(subject)
        grown = machine.resident_bytes(subject.pids()) - before
    samples.add(entry.case, entry.name, {"kilobytes": grown / sizes.idle / 1024}, how=subject.how)
