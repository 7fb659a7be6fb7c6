"""Compare Loa with its peers. Their rounds are interleaved, so that other load on the machine affects them alike."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed, Traffic
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget
from tests.load.wire import Address


class Contender(NamedTuple):
    """`traffic(address)` is called anew for each round."""

    name: str
    traffic: Callable[[Address], Traffic]


class Case(NamedTuple):
    """`options` are those of `Clients.publish`."""

    name: str
    options: dict[str, Any]


class Entry(NamedTuple):
    name: str
    target: LoadTarget
    traffic: Callable[[Address], Traffic]


def compare(
    bench: BenchmarkContext,
    workload: str,
    ours: Sequence[Contender],
    cases: Sequence[Case],
    count: int,
    others: int = 0,
) -> list[Record]:
    """Measure all cases. `ours` is Loa's traffic; `count` and `others` are for the peers (see
    `catalogue.TrafficFactory`)."""
    samples = Samples(workload)
    target = bench.shared_loa()
    with bench.running_peers(workload, samples) as peers:
        entries = [Entry(contender.name, target, contender.traffic) for contender in ours]
        for peer, running in peers:
            entries.append(Entry(peer.name, running, peer.traffic(workload, count, others)))
        rounds = range(1, bench.sizes.rounds + 1)
        bench.progress.begin(workload, len(rounds) * len(entries) * len(cases))
        for number in rounds:
            for entry in entries:
                bench.wait_until_idle(*[each.target for each in entries])
                _measure(bench, samples, entry, cases, f"round {number} of {len(rounds)}")
    return samples.records()


def _measure(bench: BenchmarkContext, samples: Samples, entry: Entry, cases: Sequence[Case], which: str) -> None:
    case = cases[0]
    try:
        with bench.clients(entry.target, entry.traffic(entry.target.address)) as clients:
            clients.open()
            for case in cases:
                bench.progress.step(f"{entry.name}, {case.name}, {which}")
                metrics, result = bench.measure_publishing(entry.target, clients, **case.options)
                samples.add(case.name, entry.name, metrics, result.latency, description=entry.target.description)
    except RunFailed as failure:
        samples.fail(case.name, entry.name, str(failure))
        bench.progress.say(f"{entry.name}, {case.name}: {failure}")
