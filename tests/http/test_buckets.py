"""Rate limits of one process."""

from hypothesis import given
from hypothesis import strategies as st

from service.http import buckets
from service.http.buckets import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestBuckets:
    def test_gives_all_at_once(self) -> None:
        """Of five in ten seconds the first five may come together; the sixth waits for its share."""
        store = Buckets(Clock())
        assert [0.0] * 5 == [store.take("a", 5, 10) for _ in range(5)]
        assert 2.0 == round(store.take("a", 5, 10), 6)

    def test_gives_back_evenly(self) -> None:
        """After the wait that was said it works, and not a moment before."""
        clock = Clock()
        store = Buckets(clock)
        for _ in range(5):
            store.take("a", 5, 10)
        wait = store.take("a", 5, 10)
        clock.now += wait - 0.01
        assert store.take("a", 5, 10) > 0
        clock.now += 0.01
        assert 0.0 == store.take("a", 5, 10)

    def test_counts_each_key_for_itself(self) -> None:
        """One who is too fast stops nobody else."""
        store = Buckets(Clock())
        for _ in range(9):
            store.take("a", 5, 10)
        assert 0.0 == store.take("b", 5, 10)

    def test_does_not_punish_trying(self) -> None:
        """A refused one costs nothing: the wait does not grow with impatience."""
        store = Buckets(Clock())
        for _ in range(5):
            store.take("a", 5, 10)
        assert store.take("a", 5, 10) == store.take("a", 5, 10)

    def test_forgets_who_has_all_back(self) -> None:
        """Memory is for those who took something lately."""
        clock = Clock()
        store = Buckets(clock)
        for number in range(buckets.FIRST_SWEEP):
            store.take(number, 5, 10)
        clock.now += 10
        store.take("one more", 5, 10)
        assert 1 == len(store)

    def test_is_bounded(self, monkeypatch: "object") -> None:
        """However many keys there are; those that came last are kept."""
        store = Buckets(Clock())
        for number in range(3 * buckets.MAX_KEYS):
            store.take(number, 1, 10)
        assert len(store) <= buckets.MAX_KEYS
        assert store.take(3 * buckets.MAX_KEYS - 1, 1, 10) > 0

    @given(
        st.integers(1, 20),
        st.floats(0.1, 100),
        st.lists(st.floats(0, 30), min_size=1, max_size=60),
    )
    def test_never_gives_more_than_twice_the_amount_in_a_period(
        self, amount: int, period: float, pauses: list[float]
    ) -> None:
        """What GCRA promises: the burst, and what comes back meanwhile."""
        clock = Clock()
        store = Buckets(clock)
        taken: list[float] = []
        for pause in pauses:
            clock.now += pause
            if store.take("a", amount, period) == 0.0:
                taken.append(clock.now)
        for begin in taken:
            assert len([moment for moment in taken if begin <= moment < begin + period]) <= 2 * amount
