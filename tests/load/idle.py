"""`idle`: the memory of connections that say nothing, each server started anew for each round."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.load import loa, machine
from tests.load.bench import Bench
from tests.load.clients import RunFailed, Traffic
from tests.load.native import CannotBuild
from tests.load.results import Record, Samples
from tests.load.subject import CannotStart, Subject
from tests.load.wire import Address

WORKLOAD = "idle"
STREAMS = "idle-streams"
"""What the catalog calls event streams that say nothing."""


class Entry(NamedTuple):
    case: str
    name: str
    start: Callable[[], AbstractContextManager[Subject]]
    traffic: Callable[[Address, int], Traffic]


def run(bench: Bench) -> list[Record]:
    samples = Samples(WORKLOAD)
    entries = [
        Entry("WebSocket", loa.NAME, bench.fresh_loa, lambda address, count: loa.group(bench.world, address, count)),
        Entry(
            "event stream",
            loa.NAME,
            bench.fresh_loa,
            lambda address, count: loa.streams(bench.world, address, count, 0),
        ),
    ]
    for case, workload in (("WebSocket", WORKLOAD), ("event stream", STREAMS)):
        for peer in bench.peers_of(workload):
            talk = peer.talks[workload]
            entries.append(
                Entry(
                    case,
                    peer.name,
                    lambda peer=peer: bench.running(peer),  # type: ignore[misc]
                    lambda address, count, talk=talk: talk(address, count, 0),  # type: ignore[misc]
                )
            )
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
        bench.clients(subject, entry.traffic(subject.address, sizes.first)) as first,
        bench.clients(subject, entry.traffic(subject.address, sizes.idle)) as rest,
    ):
        first.open()
        bench.settle(subject)
        before = machine.resident_bytes(subject.pids())
        rest.open()
        bench.settle(subject)
        grown = machine.resident_bytes(subject.pids()) - before
    samples.add(entry.case, entry.name, {"kilobytes": grown / sizes.idle / 1024}, how=subject.how)
