"""Mentions: which names a text mentions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.common.mentions import MAX_MENTIONS, mentions_in, resolved

TEXTS = {
    "@ann": ["ann"],
    "Hello @Ann, and @binh_2!": ["ann", "binh_2"],
    "(@ann) “@ann” @ANN": ["ann"],
    "@ann's": ["ann"],
    "a@ann.example": [],
    "ann@@binh": [],
    "https://example.com/@ann": [],
    "@ann@example.social": [],
    "@an": [],
    "@" + "a" * 32: ["a" * 32],
    "@" + "a" * 33: [],
    "@ánh": [],
    "@binhé": [],
    "@": [],
    "Chào@ann": [],
}


@pytest.mark.parametrize(("text", "names"), TEXTS.items(), ids=range(len(TEXTS)))
def test_names_are_found(text: str, names: list[str]) -> None:
    assert [(name,) for name in names] == mentions_in(text)


def test_a_dot_at_the_end_may_belong_to_the_name() -> None:
    """The longer name comes first, and counts if somebody has it."""
    assert [("ann.", "ann")] == mentions_in("Thanks to @ann.")
    assert "2" == resolved(("ann.", "ann"), {"ann": "1", "ann.": "2"})
    assert "1" == resolved(("ann.", "ann"), {"ann": "1"})
    assert None is resolved(("ann.", "ann"), {"binh": "1"})


def test_only_the_first_mentions_count() -> None:
    """Different ones: repetitions do not count against the limit."""
    text = "@first " * 100 + " ".join(f"@user{number}" for number in range(MAX_MENTIONS))
    found = mentions_in(text)
    assert MAX_MENTIONS == len(found)
    assert (("first",), (f"user{MAX_MENTIONS - 2}",)) == (found[0], found[-1])


@given(st.text(alphabet="@aZ0_. /é\n", max_size=200))
def test_every_mention_has_possible_usernames(text: str) -> None:
    for mention in mentions_in(text):
        assert 1 <= len(mention) <= 2
        for name in mention:
            assert f"@{name}" in text.lower()
            assert 3 <= len(name) <= 32
