"""Thresholds that Loa has to meet beside its peers: ratios or limits within one run."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.load import (
    bus,
    fanout,
    growth,
    idle,
    inbox,
    loa,
    rest,
    search,
    send,
    server_notifications,
    sse,
    storm,
    webhooks,
)
from tests.load.results import Record

SMALLEST = "the smallest"
"""Compare with the smallest size of what grows, in place of a peer."""


class Threshold(NamedTuple):
    """Loa's `metric`, divided by that of `against` ("" for the plain value), must be at least, or at most, `bound`.

    `case` is a case of the workload; "" stands for each of them. `embedded` is the bound on the embedded database, if
    it is another.
    """

    workload: str
    case: str
    metric: str
    against: str
    bound: float
    at_most: bool = False
    embedded: float | None = None


class ThresholdResult(NamedTuple):
    threshold: Threshold
    case: str
    value: float

    @property
    def met(self) -> bool:
        return self.value <= self.threshold.bound if self.threshold.at_most else self.value >= self.threshold.bound


THRESHOLDS = (
    Threshold(fanout.WORKLOAD, "4 in flight", "per_second", "fastapi", 3.5),
    Threshold(fanout.WORKLOAD, "4 in flight", "per_second", "nchan", 1.0),
    Threshold(fanout.WORKLOAD, "4 in flight", "per_second", "socketio", 1.6),
    Threshold(fanout.WORKLOAD, "4 in flight", "per_second", "centrifugo", 1.2),
    Threshold(fanout.WORKLOAD, "4 in flight", "per_second", "c-loop", 1.0),
    Threshold(fanout.WORKLOAD, "64 in flight", "per_second", "c-loop", 1.5),
    Threshold(fanout.WORKLOAD, "20 a second", "p99_ms", "c-loop", 2.0, at_most=True),
    Threshold(sse.WORKLOAD, "", "per_second", "centrifugo", 1.0),
    Threshold(sse.WORKLOAD, "", "per_second", "nchan", 1.2),
    Threshold(sse.WORKLOAD, "", "per_second", "sse-starlette", 4.0),
    Threshold(inbox.WORKLOAD, "", "p99_ms", inbox.ALONE, 2.0, at_most=True),
    Threshold(send.WORKLOAD, "", "per_second", "insert-one", 4.0, embedded=2.5),
    Threshold(send.WORKLOAD, "", "p99_ms", "insert-one", 1.0, at_most=True),
    Threshold(search.WORKLOAD, "", "per_second", search.OFF, 0.9),
    Threshold(webhooks.WORKLOAD, "", "per_second", webhooks.OFF, 0.95),
    Threshold(server_notifications.WORKLOAD, "", "max_ms", "", 1000.0, at_most=True),
    Threshold(idle.WORKLOAD, "", "kilobytes", "", 6.0, at_most=True),
    Threshold(storm.WORKLOAD, storm.CONNECTING, "per_second", "sanic-ws", 1.0),
    Threshold(storm.WORKLOAD, storm.CONNECTING, "per_second", "centrifugo", 0.5),
    Threshold(storm.WORKLOAD, storm.DELIVERY, "max_ms", "", 100.0, at_most=True),
    Threshold(storm.WORKLOAD, storm.RESUMING, "per_second", "sanic-ws", 1.0),
    Threshold(storm.WORKLOAD, storm.RESUMING, "per_second", "centrifugo", 0.5),
    Threshold(storm.WORKLOAD, storm.DELIVERY_MEANWHILE, "max_ms", "", 100.0, at_most=True),
    Threshold(growth.WORKLOAD, growth.DELIVERY, "cpu_us", SMALLEST, 1.2, at_most=True),
    Threshold(growth.WORKLOAD, growth.OPENING, "ms", SMALLEST, 1.5, at_most=True),
    Threshold(growth.WORKLOAD, growth.PAGING, "ms", SMALLEST, 1.5, at_most=True),
    Threshold(growth.WORKLOAD, growth.HELLO, "cpu_ms", "", 20.0, at_most=True),
    Threshold(rest.WORKLOAD, "", "per_second", "sanic-rest", 0.7),
    Threshold(rest.WORKLOAD, "", "p99_ms", "sanic-rest", 1 / 0.7, at_most=True),
    Threshold(rest.WORKLOAD, "", "per_second", "fastapi-rest", 1.5),
    Threshold(rest.WORKLOAD, "", "p99_ms", "fastapi-rest", 1 / 1.5, at_most=True),
    # One for each member of two; one for all of many.
    Threshold(bus.WORKLOAD, "", "commands", "", 2.0, at_most=True),
    Threshold(bus.WORKLOAD, "", "foreign_us", "", 10.0, at_most=True),
    Threshold(bus.WORKLOAD, "", "foreign_messages", "", 0.0, at_most=True),
    Threshold(bus.WORKLOAD, "", "cpu_ms", "", 3.0, at_most=True),
)


def evaluate(records: Sequence[Record], *, embedded: bool = False) -> list[ThresholdResult]:
    """Evaluate the thresholds for which both sides were measured. `embedded`: on the embedded database."""
    found = []
    for general in THRESHOLDS:
        threshold = general._replace(bound=general.embedded) if embedded and general.embedded else general
        cases = dict.fromkeys(record.case for record in records if record.workload == threshold.workload)
        for case in [threshold.case] if threshold.case else cases:
            rows = [
                record
                for record in records
                if (record.workload, record.case) == (threshold.workload, case) and threshold.metric in record.metrics
            ]
            value = _value(threshold, rows)
            if value is not None:
                found.append(ThresholdResult(threshold, case, value))
    return found


def _value(threshold: Threshold, rows: list[Record]) -> float | None:
    medians = {record.target: record.metrics[threshold.metric].median for record in rows}
    if any(record.size for record in rows):
        sizes = sorted(rows, key=lambda record: record.size)
        ours, theirs = medians[sizes[-1].target], medians[sizes[0].target]
    elif loa.NAME in medians and (not threshold.against or threshold.against in medians):
        ours, theirs = medians[loa.NAME], medians.get(threshold.against, 0.0)
    else:
        return None
    if not threshold.against:
        return ours
    return ours / theirs if theirs else None
