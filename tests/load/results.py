"""The measurements: for each case and target the median of its rounds, their range, and every round."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.load.histogram import Histogram


class Metric(NamedTuple):
    """How to print a metric: its heading, and `digits` after the point. `less`: a smaller value is better."""

    heading: str
    digits: int
    less: bool = True


METRICS = {
    "per_second": Metric("a second", 0, less=False),
    "ms": Metric("ms", 2),
    "p50_ms": Metric("p50 ms", 2),
    "p99_ms": Metric("p99 ms", 2),
    "max_ms": Metric("max ms", 1),
    "beside_per_second": Metric("comments a second beside it", 0, less=False),
    "foreign_us": Metric("µs of a process without a member", 2),
    "foreign_messages": Metric("messages that it receives", 2),
    "own_us": Metric("µs of a process with one", 2),
    "cpu_us": Metric("server µs each", 2),
    "cpu_ms": Metric("server ms each", 2),
    "database_ms": Metric("database ms each", 2),
    "commands": Metric("Redis commands each", 2),
    "kilobytes": Metric("KB each", 1),
    "load_busy": Metric("load core busy", 2),
}
"""In the order of the columns. The first metric that a case has is its main metric."""


class Summary(NamedTuple):
    """The median, range and values of the rounds of one metric."""

    median: float
    low: float
    high: float
    rounds: list[float]

    @classmethod
    def of(cls, rounds: list[float]) -> "Summary":
        return cls(statistics.median(rounds), min(rounds), max(rounds), rounds)


@dataclass
class Record:
    """One row: a target in a case of a workload. `size` is set if the case measures growth."""

    workload: str
    case: str
    target: str
    description: str = ""
    size: int = 0
    metrics: dict[str, Summary] = field(default_factory=dict)
    latency: Histogram = field(default_factory=lambda: Histogram({}))
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "workload": self.workload,
            "case": self.case,
            "subject": self.target,
            "how": self.description,
            "size": self.size,
            "metrics": {name: summary._asdict() for name, summary in self.metrics.items()},
            "latency_ms": self.latency.points(),
            "failures": self.failures,
        }


class Samples:
    """Collects rounds and returns records in the order in which their cases and targets were first added."""

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._records: dict[tuple[str, str], Record] = {}
        self._rounds: dict[tuple[str, str], dict[str, list[float]]] = {}
        self._latencies: dict[tuple[str, str], list[Histogram]] = {}

    def add(
        self,
        case: str,
        target: str,
        metrics: Mapping[str, float],
        latency: Histogram | None = None,
        *,
        description: str = "",
        size: int = 0,
    ) -> None:
        record = self._record(case, target)
        record.description, record.size = description, size
        rounds = self._rounds.setdefault((case, target), {})
        for name, value in metrics.items():
            rounds.setdefault(name, []).append(value)
        if latency:
            self._latencies.setdefault((case, target), []).append(latency)

    def fail(self, case: str, target: str, message: str) -> None:
        self._record(case, target).failures.append(message)

    def records(self) -> list[Record]:
        for key, record in self._records.items():
            record.metrics = {name: Summary.of(rounds) for name, rounds in self._rounds.get(key, {}).items()}
            record.latency = Histogram.sum(self._latencies.get(key, []))
        return sorted(self._records.values(), key=lambda record: list(dict.fromkeys(self._cases())).index(record.case))

    def _cases(self) -> list[str]:
        return [case for case, _ in self._records]

    def _record(self, case: str, target: str) -> Record:
        return self._records.setdefault((case, target), Record(self._workload, case, target))
