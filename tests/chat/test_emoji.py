"""Validation of reactions."""

import pytest

from service.chat.emoji import parse_emoji
from service.common.errors import ValidationFailed


@pytest.mark.parametrize("emoji", ["👍", "❤️", "🏳️‍🌈", "👩🏽‍🚀", "🇻🇳", "1️⃣", "#️⃣", "👨‍👩‍👧‍👦", "‼️", "☺", "↔️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"])
def test_single_emoji_is_accepted(emoji: str) -> None:
    """Simple ones and those joined from several code points."""
    assert parse_emoji(emoji) == emoji


NOT_EMOJIS = ["", "a", "ok", "$gt", "a.b", "👍.x", " ", "1", "\u200d", "👍" * 20, "<b>", "\0", "é", "\ufffd"]


@pytest.mark.parametrize("text", NOT_EMOJIS)
def test_other_text_is_refused(text: str) -> None:
    """Words, operators, field paths, empty and long text."""
    with pytest.raises(ValidationFailed):
        parse_emoji(text)


@pytest.mark.parametrize("text", ["👍👍", "🇻🇳🇻🇳", "👍🏽👍", "❤️❤️", "1️⃣2️⃣", "☺☺", "‼️👍"])
def test_two_emojis_are_refused(text: str) -> None:
    """Together they would count as one reaction."""
    with pytest.raises(ValidationFailed):
        parse_emoji(text)
