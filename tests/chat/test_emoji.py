"""What may stand as a reaction."""

import pytest

from service.chat.emoji import reaction
from service.common.errors import ValidationFailed


@pytest.mark.parametrize("emoji", ["👍", "❤️", "🏳️‍🌈", "👩🏽‍🚀", "🇻🇳", "1️⃣", "#️⃣", "👨‍👩‍👧‍👦", "‼️", "☺", "↔️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"])
def test_emojis_pass(emoji: str) -> None:
    """Single ones and those that are joined from several."""
    assert reaction(emoji) == emoji


NOT_EMOJIS = ["", "a", "ok", "$gt", "a.b", "👍.x", " ", "1", "\u200d", "👍" * 20, "<b>", "\0", "é", "\ufffd"]


@pytest.mark.parametrize("text", NOT_EMOJIS)
def test_everything_else_is_refused(text: str) -> None:
    """Words, operators, field paths, nothing, too much."""
    with pytest.raises(ValidationFailed):
        reaction(text)


@pytest.mark.parametrize("text", ["👍👍", "🇻🇳🇻🇳", "👍🏽👍", "❤️❤️", "1️⃣2️⃣", "☺☺", "‼️👍"])
def test_two_emojis_are_not_one(text: str) -> None:
    """One person would have several reactions in the place of one."""
    with pytest.raises(ValidationFailed):
        reaction(text)
