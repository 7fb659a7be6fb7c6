"""`storm`: many clients connect at once, while those that are already connected keep talking.

First they open WebSockets, then event streams that resume with `Last-Event-ID`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed, Traffic
from tests.load.compare import Entry
from tests.load.database import User
from tests.load.rest_data import Documents, add_notifications
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget
from tests.load.wire import Address

WORKLOAD = "storm"
STREAMS = "storm-streams"
"""The catalogue's name for the event streams."""
CONNECTING, DELIVERY = "connecting", "events for those already there"
RESUMING, DELIVERY_MEANWHILE = "resuming event streams", "events for those already there, meanwhile"
AT_LEAST = 1.0
"""Minimum seconds of traffic, for a storm that ends before a message is sent."""
LAST_SEQ, MISSED = 40, 2
"""The last notification of each client that resumes, and how many it has missed; the earlier ones have expired."""


class Storm(NamedTuple):
    """`connecting`, `delivery`: the names of the cases. `workload`: the catalogue's name. `count`: of those who
    connect."""

    connecting: str
    delivery: str
    workload: str
    traffic: Callable[[Address], Traffic]
    count: int


def run(bench: BenchmarkContext) -> list[Record]:
    database, sizes, samples = bench.database, bench.sizes, Samples(WORKLOAD)
    returning = _returning_users(bench, sizes.resuming)
    storms = [
        Storm(
            CONNECTING,
            DELIVERY,
            WORKLOAD,
            lambda address: loa.storm(database, address, sizes.early, sizes.storm),
            sizes.storm,
        ),
        Storm(
            RESUMING,
            DELIVERY_MEANWHILE,
            STREAMS,
            lambda address: loa.resuming(database, address, sizes.early, returning, LAST_SEQ - MISSED),
            sizes.resuming,
        ),
    ]
    for storm in storms:
        _run(bench, samples, storm)
    return samples.records()


def _run(bench: BenchmarkContext, samples: Samples, storm: Storm) -> None:
    sizes, target = bench.sizes, bench.shared_loa()
    with bench.running_peers(storm.workload, samples) as peers:
        entries = [Entry(loa.NAME, target, storm.traffic)]
        for peer, running in peers:
            entries.append(Entry(peer.name, running, peer.traffic(storm.workload, sizes.early, storm.count)))
        bench.progress.begin(WORKLOAD, sizes.rounds * len(entries))
        for number in range(1, sizes.rounds + 1):
            for name, running, traffic in entries:
                bench.wait_until_idle(*[each for _, each, _ in entries])
                bench.progress.step(f"{name}, {storm.connecting}, round {number} of {sizes.rounds}")
                try:
                    _measure(bench, samples, storm, name, running, traffic(running.address))
                except RunFailed as failure:
                    samples.fail(storm.connecting, name, str(failure))
                    bench.progress.say(f"{name}: {failure}")


def _measure(
    bench: BenchmarkContext, samples: Samples, storm: Storm, name: str, target: LoadTarget, traffic: Traffic
) -> None:
    with bench.clients(target, traffic) as clients:
        clients.open()
        clients.publish(bench.sizes.warm_up, rate=bench.sizes.rate)
        clock = bench.start_cpu_clock(target)
        result = clients.storm(bench.sizes.rate, min(AT_LEAST, bench.sizes.seconds))
        server, load = clock.stop()
    connecting = {
        "per_second": result.opened.total / result.opening,
        "p50_ms": result.opened.quantile(0.5),
        "p99_ms": result.opened.quantile(0.99),
        "cpu_ms": server / result.opened.total * 1000,
        "load_busy": load / max(result.opening, result.publishing),
    }
    samples.add(storm.connecting, name, connecting, result.opened, description=target.description)
    delay = {
        "p50_ms": result.latency.quantile(0.5),
        "p99_ms": result.latency.quantile(0.99),
        "max_ms": result.latency.quantile(1),
    }
    samples.add(storm.delivery, name, delay, result.latency, description=target.description)


def _returning_users(bench: BenchmarkContext, count: int) -> Sequence[User]:
    """Create users who have missed notifications of others."""
    senders = [user.id for user in bench.database.users(bench.sizes.early)]
    users = bench.database.new_users(count)
    documents: Documents = {"inboxes": [], "notifications": []}
    for user in users:
        add_notifications(documents, user.id, senders, range(LAST_SEQ - MISSED + 1, LAST_SEQ + 1))
    bench.database.insert(documents)
    return users
