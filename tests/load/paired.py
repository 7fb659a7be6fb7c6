"""As `send`, with two servers of different settings in turn."""

from collections.abc import Mapping

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed
from tests.load.results import Record, Samples


def run_paired(bench: BenchmarkContext, workload: str, environments: Mapping[str, dict[str, str]]) -> list[Record]:
    """Measure a server with each of `environments`, by their names in the results.

    Each round starts all of them, one after the other: a follower would cost the database of the others, too.
    """
    samples, count = Samples(workload), bench.sizes.senders
    rounds = range(1, bench.sizes.rounds + 1)
    bench.progress.begin(workload, len(environments) * len(rounds))
    case = f"{count} senders"
    for number in rounds:
        for name, environment in environments.items():
            bench.progress.step(f"{name}, {case}, round {number} of {len(rounds)}")
            # Otherwise everything before would be followed, too.
            bench.database.forget_followers()
            try:
                with loa.loa(bench.database, bench.cores, bench.work, environment) as target:
                    bench.wait_until_idle(target)
                    traffic = loa.senders(bench.database, target.address, count)
                    with bench.clients(target, traffic) as clients:
                        clients.open()
                        metrics, result = bench.measure_publishing(target, clients)
                samples.add(case, name, metrics, result.latency, description=target.description)
            except RunFailed as failure:
                samples.fail(case, name, str(failure))
                bench.progress.say(f"{name}: {failure}")
    return samples.records()
