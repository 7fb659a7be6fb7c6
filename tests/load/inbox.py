"""`inbox`: notifications of one user, without and with a thousand comments a second on a post of another.

Each is the comment of a third user, from sending it until the stream of the post's author has received it.
"""

from concurrent.futures import ThreadPoolExecutor

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import Clients, RunFailed
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget

WORKLOAD = "inbox"
BESIDE, ALONE = loa.NAME, "alone"
"""The two rows of the results."""
CASE = "a quiet inbox"
QUIET_CALLERS = 4
HOT_CALLERS = 64
MARGIN = 1.0
"""Seconds that the comments on the hot post last longer than the measurement."""


def run(bench: BenchmarkContext) -> list[Record]:
    sizes, samples = bench.sizes, Samples(WORKLOAD)
    target = bench.shared_loa()
    users = bench.database.users(2 + QUIET_CALLERS + HOT_CALLERS)
    quiet, hot = users[: 1 + QUIET_CALLERS], users[1 + QUIET_CALLERS :]
    bench.progress.begin(WORKLOAD, 2 * sizes.rounds)
    for number in range(1, sizes.rounds + 1):
        for name in (ALONE, BESIDE):
            bench.wait_until_idle(target)
            bench.progress.step(f"{name}, round {number} of {sizes.rounds}")
            try:
                with (
                    bench.clients(target, loa.comments(bench.database, target.address, quiet, 1)) as clients,
                    bench.clients(target, loa.comments(bench.database, target.address, hot, 1)) as others,
                ):
                    clients.open()
                    others.open()
                    _measure(bench, samples, name, target, clients, others)
            except RunFailed as failure:
                samples.fail(CASE, name, str(failure))
                bench.progress.say(f"{name}: {failure}")
    return samples.records()


def _measure(
    bench: BenchmarkContext, samples: Samples, name: str, target: LoadTarget, clients: Clients, others: Clients
) -> None:
    if name == ALONE:
        metrics, result = bench.measure_publishing(target, clients, rate=bench.sizes.rate)
    else:
        with ThreadPoolExecutor(1) as executor:
            seconds = bench.sizes.warm_up + bench.sizes.seconds + MARGIN
            beside = executor.submit(others.publish, seconds, rate=bench.sizes.comments)
            metrics, result = bench.measure_publishing(target, clients, rate=bench.sizes.rate)
            if beside.done():
                raise RunFailed("the comments beside it ended early")
        metrics["beside_per_second"] = beside.result().complete / beside.result().publishing
    samples.add(CASE, name, metrics, result.latency, description=target.description)
