"""`send`: messages stored and acknowledged; each sender waits for an ack before its next message."""

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.compare import Case, Contender, compare
from tests.load.results import Record

WORKLOAD = "send"


def run(bench: BenchmarkContext) -> list[Record]:
    count = bench.sizes.senders
    ours = [Contender(loa.NAME, lambda address: loa.senders(bench.database, address, count))]
    return compare(bench, WORKLOAD, ours, [Case(f"{count} senders", {})], count)
