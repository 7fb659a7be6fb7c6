"""`search`: as `send`, without and with the search index, which follows each message."""

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.paired import run_paired
from tests.load.results import Record

WORKLOAD = "search"
ON, OFF = loa.NAME, "without the search"
"""The names of the two servers in the results."""


def run(bench: BenchmarkContext) -> list[Record]:
    return run_paired(bench, WORKLOAD, {OFF: {"SEARCH": "off"}, ON: {"SEARCH": "on"}})
