"""Loa beside its peers: everyone's rounds in turn, so that whatever else the machine does meets them alike."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.load.bench import Bench
from tests.load.clients import RunFailed, Traffic
from tests.load.results import Record, Samples
from tests.load.subject import Subject
from tests.load.wire import Address


class Contender(NamedTuple):
    """`traffic(address)`: made anew for each round."""

    name: str
    traffic: Callable[[Address], Traffic]


class Case(NamedTuple):
    """`options`: those of `Clients.publish`."""

    name: str
    options: dict[str, Any]


class Entry(NamedTuple):
    name: str
    subject: Subject
    traffic: Callable[[Address], Traffic]


def compare(
    bench: Bench,
    workload: str,
    ours: Sequence[Contender],
    cases: Sequence[Case],
    count: int,
    others: int = 0,
) -> list[Record]:
    """`ours`: what Loa is asked to do; `count` and `others`: what the peers are (see `catalog.Talk`)."""
    samples = Samples(workload)
    subject = bench.loa()
    with bench.started(workload, samples) as peers:
        entries = [Entry(contender.name, subject, contender.traffic) for contender in ours]
        for peer, running in peers:
            entries.append(Entry(peer.name, running, peer.traffic(workload, count, others)))
        rounds = range(1, bench.sizes.rounds + 1)
        bench.progress.begin(workload, len(rounds) * len(entries) * len(cases))
        for number in rounds:
            for entry in entries:
                bench.settle(*[each.subject for each in entries])
                _measure(bench, samples, entry, cases, f"round {number} of {len(rounds)}")
    return samples.records()


def _measure(bench: Bench, samples: Samples, entry: Entry, cases: Sequence[Case], which: str) -> None:
    case = cases[0]
    try:
        with bench.clients(entry.subject, entry.traffic(entry.subject.address)) as clients:
            clients.open()
            for case in cases:
                bench.progress.step(f"{entry.name}, {case.name}, {which}")
                metrics, result = bench.published(entry.subject, clients, **case.options)
                samples.add(case.name, entry.name, metrics, result.latency, how=entry.subject.how)
    except RunFailed as failure:
        samples.fail(case.name, entry.name, str(failure))
        bench.progress.say(f"{entry.name}, {case.name}: {failure}")
