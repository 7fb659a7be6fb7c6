"""Sets of sequence numbers, as a bitmap: one bit for each number from the lowest to the highest."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumberSet:
    """An immutable set of positive numbers. Bit i of `bits` stands for `first + i`; bit 0 is set, if any is.

    A set that spans 100,000 numbers takes 12.5 KB, and union, difference and count take microseconds, whichever of
    the numbers it has.
    """

    first: int = 0
    bits: int = 0

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "NumberSet":
        """Return the set of these numbers."""
        wanted = list(numbers)
        if not wanted:
            return cls()
        first = min(wanted)
        octets = bytearray((max(wanted) - first) // 8 + 1)
        for number in wanted:
            octets[(number - first) >> 3] |= 1 << ((number - first) & 7)
        return cls(first, int.from_bytes(octets, "little"))

    @classmethod
    def span(cls, first: int, last: int) -> "NumberSet":
        """Return the set of all numbers from `first` to `last`; the empty one if `last` is lower."""
        return cls(first, (1 << (last - first + 1)) - 1) if first <= last else cls()

    @classmethod
    def from_bytes(cls, first: int, octets: bytes) -> "NumberSet":
        """Return the set that `to_bytes` has encoded."""
        return cls(first, int.from_bytes(octets, "little"))

    def to_bytes(self) -> bytes:
        """Return the bitmap from `first` on, to be stored beside it."""
        return self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little")

    @property
    def last(self) -> int:
        """The highest number; 0 if there is none."""
        return self.first + self.bits.bit_length() - 1 if self.bits else 0

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last and bool(self.bits >> (number - self.first) & 1)

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers, descending."""
        # Octet by octet: to clear a bit of the whole would copy it for each number.
        octets = self.to_bytes()
        for index in range(len(octets) - 1, -1, -1):
            octet = octets[index]
            for bit in range(7, -1, -1) if octet else ():
                if octet >> bit & 1:
                    yield self.first + index * 8 + bit

    def __or__(self, other: "NumberSet") -> "NumberSet":
        if not (self.bits and other.bits):
            return self if self.bits else other
        low, high = (self, other) if self.first <= other.first else (other, self)
        return NumberSet(low.first, low.bits | high.bits << (high.first - low.first))

    def __sub__(self, other: "NumberSet") -> "NumberSet":
        return _aligned(self.first, self.bits & ~other._from(self.first))

    def above(self, number: int) -> "NumberSet":
        """Return the numbers that are higher than `number`."""
        return self if number < self.first else _aligned(number + 1, self._from(number + 1))

    def up_to(self, number: int) -> "NumberSet":
        """Return the numbers that are `number` or lower."""
        return self - self.above(number)

    def run_from(self, number: int) -> int:
        """Return how many numbers from `number` on are all in the set, one after the other."""
        bits = self._from(number)
        return (~bits & (bits + 1)).bit_length() - 1

    def _from(self, first: int) -> int:
        """Return the bitmap whose bit 0 stands for `first`, without the numbers below it."""
        return self.bits >> (first - self.first) if first >= self.first else self.bits << (self.first - first)


def _aligned(first: int, bits: int) -> NumberSet:
    if not bits:
        return NumberSet()
    empty = (bits & -bits).bit_length() - 1
    return NumberSet(first + empty, bits >> empty)
