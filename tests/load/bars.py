"""The bars: how good Loa has set itself to be beside the others, each a ratio or a bound within one run."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.load import bus, fanout, growth, idle, loa, send, sse, storm
from tests.load.results import Record

SMALLEST = "the smallest"
"""In place of a peer: the same with the smallest size of what grows."""


class Bar(NamedTuple):
    """`metric` of Loa, as a multiple of that of `against` ("": as it is), is at least, or at most, `bound`.

    `case`: of the workload; "": each of them.
    """

    workload: str
    case: str
    metric: str
    against: str
    bound: float
    at_most: bool = False


class Reached(NamedTuple):
    bar: Bar
    case: str
    value: float

    @property
    def met(self) -> bool:
        return self.value <= self.bar.bound if self.bar.at_most else self.value >= self.bar.bound


BARS = (
    Bar(fanout.WORKLOAD, "4 in flight", "per_second", "fastapi", 3.5),
    Bar(fanout.WORKLOAD, "4 in flight", "per_second", "nchan", 1.0),
    Bar(fanout.WORKLOAD, "4 in flight", "per_second", "socketio", 1.6),
    Bar(fanout.WORKLOAD, "4 in flight", "per_second", "c-loop", 0.8),
    Bar(fanout.WORKLOAD, "64 in flight", "per_second", "c-loop", 1.5),
    Bar(fanout.WORKLOAD, "20 a second", "p99_ms", "c-loop", 2.0, at_most=True),
    Bar(sse.WORKLOAD, "", "per_second", "sse-starlette", 5.0),
    Bar(sse.WORKLOAD, "", "per_second", "nchan", 1.0),
    Bar(send.WORKLOAD, "", "per_second", "insert-one", 6.0),
    Bar(send.WORKLOAD, "", "p99_ms", "insert-one", 1.0, at_most=True),
    Bar(idle.WORKLOAD, "", "kilobytes", "", 8.0, at_most=True),
    Bar(storm.WORKLOAD, storm.CONNECTING, "per_second", "sanic-ws", 1.5),
    Bar(storm.WORKLOAD, storm.DELIVERY, "max_ms", "", 250.0, at_most=True),
    Bar(growth.WORKLOAD, growth.DELIVERY, "cpu_us", SMALLEST, 1.2, at_most=True),
    Bar(growth.WORKLOAD, growth.OPENING, "ms", SMALLEST, 1.5, at_most=True),
    Bar(growth.WORKLOAD, growth.PAGING, "ms", SMALLEST, 1.5, at_most=True),
    Bar(growth.WORKLOAD, growth.HELLO, "cpu_ms", "", 20.0, at_most=True),
    # One; but the processes' beats, one every two seconds, are counted, too.
    Bar(bus.WORKLOAD, "", "commands", "", 1.05, at_most=True),
    Bar(bus.WORKLOAD, "", "cpu_ms", "", 3.0, at_most=True),
)


def reached(records: Sequence[Record]) -> list[Reached]:
    """How far each bar was reached, of those for which both sides were measured."""
    found = []
    for bar in BARS:
        cases = dict.fromkeys(record.case for record in records if record.workload == bar.workload)
        for case in [bar.case] if bar.case else cases:
            rows = [
                record
                for record in records
                if (record.workload, record.case) == (bar.workload, case) and bar.metric in record.metrics
            ]
            value = _value(bar, rows)
            if value is not None:
                found.append(Reached(bar, case, value))
    return found


def _value(bar: Bar, rows: list[Record]) -> float | None:
    medians = {record.subject: record.metrics[bar.metric].median for record in rows}
    if any(record.size for record in rows):
        sizes = sorted(rows, key=lambda record: record.size)
        ours, theirs = medians[sizes[-1].subject], medians[sizes[0].subject]
    elif loa.NAME in medians and (not bar.against or bar.against in medians):
        ours, theirs = medians[loa.NAME], medians.get(bar.against, 0.0)
    else:
        return None
    if not bar.against:
        return ours
    return ours / theirs if theirs else None
