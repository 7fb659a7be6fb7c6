"""`fanout`: what one says in a group, over WebSockets: as fast as the window allows, and at a steady rate.

It is 200 bytes of text for everyone. Most peers pass it on as it is; Loa and the plan's manager put it into a message
with its ids and times. One more socket than is counted speaks, and a message is under way until the last has it.
"""

from tests.load import loa
from tests.load.bench import Bench
from tests.load.compare import Case, Contender, compare
from tests.load.results import Record

WORKLOAD = "fanout"
ONE_USER = f"{loa.NAME}, one user"


def run(bench: Bench) -> list[Record]:
    world, sizes = bench.world, bench.sizes
    count = sizes.listeners
    ours = [
        Contender(loa.NAME, lambda address: loa.group(world, address, count)),
        Contender(ONE_USER, lambda address: loa.devices(world, address, count)),
    ]
    cases = [Case(f"{window} in flight", {"window": window}) for window in sizes.in_flight]
    cases.append(Case(f"{sizes.rate:g} a second", {"rate": sizes.rate}))
    return compare(bench, WORKLOAD, ours, cases, count)
