"""A histogram of times, with the buckets of `clients.c`: 32 for each doubling, accurate to 3 %."""

from collections.abc import Iterable
from typing import NamedTuple

BUCKETS = 2048
LINEAR = 64
PER_DOUBLING = 32


def lower_bound(bucket: int) -> int:
    """Return the lower bound of a bucket in nanoseconds."""
    if bucket < LINEAR:
        return bucket
    shift = bucket // PER_DOUBLING - 1
    return (bucket - shift * PER_DOUBLING) << shift


class Histogram(NamedTuple):
    """`counts` has the buckets that are not empty."""

    counts: dict[int, int]

    @classmethod
    def of(cls, buckets: Iterable[int]) -> "Histogram":
        return cls({bucket: count for bucket, count in enumerate(buckets) if count})

    @classmethod
    def sum(cls, histograms: Iterable["Histogram"]) -> "Histogram":
        counts: dict[int, int] = {}
        for histogram in histograms:
            for bucket, count in histogram.counts.items():
                counts[bucket] = counts.get(bucket, 0) + count
        return cls(dict(sorted(counts.items())))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def quantile(self, share: float) -> float:
        """Return the time in milliseconds within which `share` of all values lie; 0 without values."""
        wanted, seen = share * self.total, 0
        for bucket, count in self.counts.items():
            seen += count
            if seen >= wanted:
                return lower_bound(bucket + 1) / 1e6
        return 0.0

    def points(self) -> list[tuple[float, int]]:
        """Return (milliseconds, count), ascending."""
        return [(lower_bound(bucket + 1) / 1e6, count) for bucket, count in self.counts.items()]
