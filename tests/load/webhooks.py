"""`webhooks`: as `send`, without and with webhooks for each message, to a receiver in a process of its own."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed
from tests.load.results import Record, Samples
from tests.running import eventually, spawn

WORKLOAD = "webhooks"
ON, OFF = loa.NAME, "without webhooks"
"""The names of the two servers in the results."""
SECRET = "whsec_bG9hZCB0ZXN0cyBvZiB3ZWJob29rcywgb24gbG9vcGJhY2s="


def run(bench: BenchmarkContext) -> list[Record]:
    """Each round starts both servers, one after the other: a follower would cost the database of the other, too."""
    samples, count = Samples(WORKLOAD), bench.sizes.senders
    rounds = range(1, bench.sizes.rounds + 1)
    bench.progress.begin(WORKLOAD, 2 * len(rounds))
    case = f"{count} senders"
    with _receiver(bench) as url:
        environments = {OFF: {}, ON: {"WEBHOOK_URL": url, "WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": "on"}}
        for number in rounds:
            for name, environment in environments.items():
                bench.progress.step(f"{name}, {case}, round {number} of {len(rounds)}")
                # Otherwise the webhooks of everything before would follow.
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


@contextmanager
def _receiver(bench: BenchmarkContext) -> Iterator[str]:
    """Run the receiver on the cores of the load. Yields its address."""
    with socket.socket() as reserved:
        reserved.bind((loa.HOST, 0))
        port = reserved.getsockname()[1]
    command = (sys.executable, "-m", "tests.load.webhook_receiver", str(port))
    receiver = spawn([], {}, bench.work / "receiver.log", command)
    try:
        eventually(lambda: "ready" in receiver.text, 20.0)
        yield f"http://{loa.HOST}:{port}/"
    finally:
        receiver.process.terminate()
        receiver.wait()
