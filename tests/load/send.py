"""`send`: messages stored and acknowledged, each sender waiting for one ack before the next message."""

from tests.load import loa
from tests.load.bench import Bench
from tests.load.compare import Case, Contender, compare
from tests.load.results import Record

WORKLOAD = "send"


def run(bench: Bench) -> list[Record]:
    count = bench.sizes.senders
    ours = [Contender(loa.NAME, lambda address: loa.senders(bench.world, address, count))]
    return compare(bench, WORKLOAD, ours, [Case(f"{count} senders", {})], count)
