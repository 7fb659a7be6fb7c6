"""Sets of numbers, compared with Python's own."""

from hypothesis import given
from hypothesis import strategies as st

from service.notifications.number_set import NumberSet

numbers = st.sets(st.integers(1, 200), max_size=40)


@given(numbers, numbers, st.integers(0, 201), st.integers(0, 201))
def test_it_agrees_with_a_set(one: set[int], other: set[int], number: int, last: int) -> None:
    """Every operation, and equal sets are equal."""
    mine, others = NumberSet.of(one), NumberSet.of(other)
    assert sorted(one, reverse=True) == list(mine)
    assert (len(one), max(one, default=0), number in one) == (len(mine), mine.last, number in mine)
    for expected, found in [
        (one | other, mine | others),
        (one - other, mine - others),
        ({each for each in one if each > number}, mine.above(number)),
        ({each for each in one if each <= number}, mine.up_to(number)),
        (set(range(max(1, number), last + 1)), NumberSet.span(max(1, number), last)),
        (one, NumberSet.from_bytes(mine.first, mine.to_bytes())),
    ]:
        assert NumberSet.of(expected) == found
    run = 0
    while number + run in one:
        run += 1
    assert run == mine.run_from(number)


def test_a_large_set_is_small() -> None:
    large = NumberSet.of(range(10**12, 10**12 + 100_000, 2))
    assert (50_000, 10**12 + 99_998) == (len(large), large.last)
    assert len(large.to_bytes()) <= 12_500
    assert 25_000 == len(large - NumberSet.of(range(10**12, 10**12 + 50_000, 2)))
