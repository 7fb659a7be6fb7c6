"""Reactions: which text is one. Messages, posts and comments have the same rules."""

from service.common.errors import ValidationFailed
from service.common.text import reaction

MAX_EMOJIS = 50
"""Different reactions to one message, post or comment."""


def parse_emoji(text: str) -> str:
    """Return the fully qualified form of `text`. Raises ValidationFailed (`emoji`) if it is not one emoji."""
    emoji = reaction(text)
    if emoji is None:
        raise ValidationFailed.of("emoji", "This is not an emoji.")
    return emoji
