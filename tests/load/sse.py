"""`sse`: notifications on one user's event streams; with Loa each is a comment that someone posts.

200 bytes are posted, over as many connections as messages may be under way. Most peers pass them on as they are; Loa
stores a comment and a notification, and sends the latter, with a preview of 140 characters.
"""

from tests.load import loa
from tests.load.bench import Bench
from tests.load.compare import Case, Contender, compare
from tests.load.results import Record

WORKLOAD = "sse"


def run(bench: Bench) -> list[Record]:
    world, sizes = bench.world, bench.sizes
    count, callers = sizes.listeners, max(sizes.in_flight)
    ours = [Contender(loa.NAME, lambda address: loa.streams(world, address, count, callers))]
    cases = [Case(f"{window} in flight", {"window": window}) for window in sizes.in_flight]
    return compare(bench, WORKLOAD, ours, cases, count, callers)
