"""Reactions: which text is one, and how users add and remove them."""

import pytest

from service.chat import reactions
from service.chat.reactions import MAX_SHOWN_USERS, shown_users, with_reaction
from service.common.emoji import MAX_EMOJIS, parse_emoji
from service.common.errors import ValidationFailed

HEART, PLAIN_HEART = "\u2764\ufe0f", "\u2764"
AN, BINH = "a" * 24, "b" * 24


@pytest.mark.parametrize("emoji", ["👍", "❤️", "🏳️‍🌈", "👩🏽‍🚀", "🇻🇳", "1️⃣", "#️⃣", "👨‍👩‍👧‍👦", "‼️", "☺️", "↔️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"])
def test_one_emoji_is_accepted(emoji: str) -> None:
    assert parse_emoji(emoji) == emoji


@pytest.mark.parametrize("text", ["a", "$gt", "a.b", "👍.x", " ", "1", "👍" * 20, "<", "+", "\0", "👍👍", "🇻🇳🇻🇳", "❤️❤️"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed):
        parse_emoji(text)
    for on in (True, False):
        with pytest.raises(ValidationFailed):
            with_reaction({"👍": [AN]}, text, AN, on=on)


def test_a_reaction_is_added_once_and_removed_once() -> None:
    assert with_reaction({}, "👍", AN, on=True) == {"👍": [AN]}
    assert with_reaction({"👍": [AN]}, "👍", AN, on=True) is None
    assert with_reaction({"👍": [AN]}, "👍", BINH, on=True) == {"👍": [AN, BINH]}
    assert with_reaction({"👍": [AN, BINH]}, "👍", AN, on=False) == {"👍": [BINH]}
    assert with_reaction({"👍": [BINH]}, "👍", AN, on=False) is None
    assert with_reaction({"👍": [AN], HEART: [AN]}, "👍", AN, on=False) == {HEART: [AN]}


@pytest.mark.parametrize("written", [HEART, PLAIN_HEART])
def test_forms_of_one_emoji_are_one_reaction(written: str) -> None:
    """It is stored fully qualified, and forms that were stored before are merged when somebody changes one."""
    assert with_reaction({}, written, AN, on=True) == {HEART: [AN]}
    stored = {PLAIN_HEART: [AN], HEART: [AN, BINH]}
    assert with_reaction(stored, written, AN, on=True) is None
    assert with_reaction(stored, written, AN, on=False) == {HEART: [BINH]}
    assert with_reaction({PLAIN_HEART: [AN]}, written, BINH, on=True) == {HEART: [AN, BINH]}
    assert with_reaction({PLAIN_HEART: [AN]}, written, AN, on=False) == {}


def test_a_stored_reaction_that_is_no_emoji_can_only_be_removed() -> None:
    stored = {"+": [AN, BINH]}
    assert with_reaction(stored, "+", AN, on=False) == {"+": [BINH]}
    assert with_reaction(stored, "👍", AN, on=True) == {"+": [AN, BINH], "👍": [AN]}
    with pytest.raises(ValidationFailed):
        with_reaction(stored, "+", "c" * 24, on=True)


def test_a_message_has_a_bounded_number_of_different_reactions() -> None:
    """One more emoji is refused; one more user of the same is not, nor is a removal."""
    full = {chr(0x1F600 + number): [AN] for number in range(MAX_EMOJIS)}
    with pytest.raises(ValidationFailed):
        with_reaction(full, "👍", BINH, on=True)
    assert with_reaction(full, "😀", BINH, on=True) == full | {"😀": [AN, BINH]}
    assert len(with_reaction(full, "😀", AN, on=False) or {}) == MAX_EMOJIS - 1


def test_a_message_has_a_bounded_number_of_reactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not fit into a document of the database otherwise."""
    monkeypatch.setattr(reactions, "MAX_REACTIONS", 3)
    full = {"😀": [AN, BINH], "👍": [AN]}
    with pytest.raises(ValidationFailed):
        with_reaction(full, "👍", BINH, on=True)
    assert with_reaction(full, "👍", AN, on=False) == {"😀": [AN, BINH]}


def test_of_many_users_the_first_are_shown_and_the_viewer() -> None:
    users = [f"{number:024x}" for number in range(MAX_SHOWN_USERS + 50)]
    shown = users[:MAX_SHOWN_USERS]
    assert shown_users({"👍": users, "😀": users[:3]}, None) == {"👍": shown, "😀": users[:3]}
    assert shown_users({"👍": users}, users[7]) == {"👍": shown} == shown_users({"👍": users}, "f" * 24)
    assert shown_users({"👍": users}, users[-1]) == {"👍": [*shown[:-1], users[-1]]}
