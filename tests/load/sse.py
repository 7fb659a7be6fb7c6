"""`sse`: notifications on the event streams of one user; with Loa each one is a comment that is stored first.

Messages of 200 bytes are posted over as many connections as messages may be in flight. Most peers forward them as they
are; Loa stores a comment and a notification, and sends the latter with a preview of 140 characters.
"""

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.compare import Case, Contender, compare
from tests.load.results import Record

WORKLOAD = "sse"


def run(bench: BenchmarkContext) -> list[Record]:
    database, sizes = bench.database, bench.sizes
    count, callers = sizes.listeners, max(sizes.in_flight)
    ours = [Contender(loa.NAME, lambda address: loa.streams(database, address, count, callers))]
    cases = [Case(f"{window} in flight", {"window": window}) for window in sizes.in_flight]
    return compare(bench, WORKLOAD, ours, cases, count, callers)
