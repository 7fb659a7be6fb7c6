"""Pages of a numbered list with missing numbers: no row is skipped, and no read is large."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.datastores.numbered_ranges import MAX_READ, ascending, descending

NUMBERS = st.sets(st.integers(1, 5000), max_size=200) | st.builds(
    lambda first, count: set(range(first, first + count)), st.integers(1, 3000), st.integers(0, 1500)
)


class Numbers:
    """A list with these numbers; returns them in no particular order, and of too many any."""

    def __init__(self, numbers: set[int]) -> None:
        self.numbers = numbers
        self.reads = 0

    async def read(self, first: int, last: int, limit: int) -> list[dict[str, Any]]:
        self.reads += 1
        assert limit <= MAX_READ + 1
        found = [{"number": number} for number in sorted(self.numbers, reverse=True) if first <= number <= last]
        return found[:limit]


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.integers(0, 6000), st.integers(1, 101))
@pytest.mark.asyncio
async def test_the_next_rows_are_found_whatever_is_missing(numbers: set[int], cursor: int, limit: int) -> None:
    rows = Numbers(numbers)
    found = await descending(rows.read, "number", cursor, limit)
    assert sorted((number for number in numbers if number < cursor), reverse=True)[:limit] == [
        row["number"] for row in found
    ]
    found = await ascending(rows.read, "number", cursor, max(numbers, default=0), limit)
    assert sorted(number for number in numbers if number > cursor)[:limit] == [row["number"] for row in found]
    assert rows.reads <= 60


async def test_rows_above_the_known_last_number_are_found() -> None:
    """The known number may be out of date."""
    rows = Numbers(set(range(1, 500)))
    found = await ascending(rows.read, "number", 0, 0, 400)
    assert list(range(1, 401)) == [row["number"] for row in found]


async def test_a_page_without_holes_is_one_read() -> None:
    rows = Numbers(set(range(1, 500)))
    await descending(rows.read, "number", 400, 31)
    await ascending(rows.read, "number", 100, 499, 31)
    assert 2 == rows.reads


async def test_a_large_hole_takes_few_reads() -> None:
    rows = Numbers({1, 1_000_000})
    await descending(rows.read, "number", 1_000_000, 2)
    await ascending(rows.read, "number", 1, 1_000_000, 2)
    assert rows.reads <= 10
