"""`webhooks`: as `send`, without and with webhooks for each message, to a receiver in a process of its own."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.paired import run_paired
from tests.load.results import Record
from tests.running import eventually, spawn

WORKLOAD = "webhooks"
ON, OFF = loa.NAME, "without webhooks"
"""The names of the two servers in the results."""
SECRET = "whsec_bG9hZCB0ZXN0cyBvZiB3ZWJob29rcywgb24gbG9vcGJhY2s="


def run(bench: BenchmarkContext) -> list[Record]:
    with _receiver(bench) as url:
        webhooks = {"WEBHOOK_URL": url, "WEBHOOK_SECRET": SECRET, "WEBHOOK_PRIVATE": "on"}
        return run_paired(bench, WORKLOAD, {OFF: {}, ON: webhooks})


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
