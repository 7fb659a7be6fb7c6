"""`storm`: many clients connect at once, while those that are already connected keep talking."""

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed, Traffic
from tests.load.compare import Entry
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget

WORKLOAD = "storm"
CONNECTING, DELIVERY = "connecting", "events for those already there"
AT_LEAST = 1.0
"""Minimum seconds of traffic, for a storm that ends before a message is sent."""


def run(bench: BenchmarkContext) -> list[Record]:
    sizes, samples = bench.sizes, Samples(WORKLOAD)
    target = bench.shared_loa()
    with bench.running_peers(WORKLOAD, samples) as peers:
        ours = Entry(loa.NAME, target, lambda address: loa.storm(bench.database, address, sizes.early, sizes.storm))
        entries = [ours]
        for peer, running in peers:
            entries.append(Entry(peer.name, running, peer.traffic(WORKLOAD, sizes.early, sizes.storm)))
        bench.progress.begin(WORKLOAD, sizes.rounds * len(entries))
        for number in range(1, sizes.rounds + 1):
            for name, running, traffic in entries:
                bench.wait_until_idle(*[each for _, each, _ in entries])
                bench.progress.step(f"{name}, round {number} of {sizes.rounds}")
                try:
                    _measure(bench, samples, name, running, traffic(running.address))
                except RunFailed as failure:
                    samples.fail(CONNECTING, name, str(failure))
                    bench.progress.say(f"{name}: {failure}")
    return samples.records()


def _measure(bench: BenchmarkContext, samples: Samples, name: str, target: LoadTarget, traffic: Traffic) -> None:
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
    samples.add(CONNECTING, name, connecting, result.opened, description=target.description)
    delay = {
        "p50_ms": result.latency.quantile(0.5),
        "p99_ms": result.latency.quantile(0.99),
        "max_ms": result.latency.quantile(1),
    }
    samples.add(DELIVERY, name, delay, result.latency, description=target.description)
