"""`fanout`: one sender in a group, over WebSockets: as fast as the window allows, and at a steady rate.

Each message is 200 bytes of text. Most peers forward it as it is; Loa and the FastAPI manager put it into a message
with ids and times. The publisher is one WebSocket more than those that are counted, and a message is in flight until
the last listener has received it.
"""

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.compare import Case, Contender, compare
from tests.load.results import Record

WORKLOAD = "fanout"
ONE_USER = f"{loa.NAME}, one user"


def run(bench: BenchmarkContext) -> list[Record]:
    database, sizes = bench.database, bench.sizes
    count = sizes.listeners
    ours = [
        Contender(loa.NAME, lambda address: loa.group(database, address, count)),
        Contender(ONE_USER, lambda address: loa.devices(database, address, count)),
    ]
    cases = [Case(f"{window} in flight", {"window": window}) for window in sizes.in_flight]
    cases.append(Case(f"{sizes.rate:g} a second", {"rate": sizes.rate}))
    return compare(bench, WORKLOAD, ours, cases, count)
