"""`idle`: the memory of connections that send nothing; each server is restarted for each round."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from tests.load import loa, machine
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed, Traffic
from tests.load.native import BuildError
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget, StartError
from tests.load.wire import Address

WORKLOAD = "idle"
SOCKET, STREAM = "WebSocket", "event stream"
STREAMS = "idle-streams"
"""The catalogue's name for idle event streams."""


class Entry(NamedTuple):
    case: str
    name: str
    start: Callable[[], AbstractContextManager[LoadTarget]]
    traffic: Callable[[int], Callable[[Address], Traffic]]
    """The traffic for a number of connections."""


def run(bench: BenchmarkContext) -> list[Record]:
    samples, database = Samples(WORKLOAD), bench.database
    entries = [
        Entry(SOCKET, loa.NAME, bench.start_loa, lambda count: lambda address: loa.group(database, address, count)),
        Entry(
            STREAM, loa.NAME, bench.start_loa, lambda count: lambda address: loa.streams(database, address, count, 0)
        ),
    ]
    for case, workload in ((SOCKET, WORKLOAD), (STREAM, STREAMS)):
        for peer in bench.peers_for(workload):
            start, traffic = partial(bench.run_peer, peer), partial(peer.traffic, workload)
            entries.append(Entry(case, peer.name, start, traffic))
    bench.progress.begin(WORKLOAD, bench.sizes.rounds * len(entries))
    for number in range(1, bench.sizes.rounds + 1):
        for entry in entries:
            bench.progress.step(f"{entry.name}, {entry.case}, round {number} of {bench.sizes.rounds}")
            try:
                _measure(bench, samples, entry)
            except (StartError, BuildError, RunFailed) as error:
                samples.fail(entry.case, entry.name, str(error))
                bench.progress.say(f"{entry.name}, {entry.case}: {error}")
    return samples.records()


def _measure(bench: BenchmarkContext, samples: Samples, entry: Entry) -> None:
    """Measure the memory that the later connections add: the first ones also pay for what is needed only once."""
    sizes = bench.sizes
    with (
        entry.start() as target,
        bench.clients(target, entry.traffic(sizes.first)(target.address)) as first,
        bench.clients(target, entry.traffic(sizes.idle)(target.address)) as rest,
    ):
        first.open()
        bench.wait_until_idle(target)
        before = machine.resident_bytes(target.pids())
        rest.open()
        bench.wait_until_idle(target)
        grown = machine.resident_bytes(target.pids()) - before
    samples.add(entry.case, entry.name, {"kilobytes": grown / sizes.idle / 1024}, description=target.description)
