"""Reactions: which text is one, and the reactions to a message as `{emoji: [user id]}`.

Forms of one emoji, with and without variation selectors, are one reaction. It is stored fully qualified, but older
messages may have other forms of it, and text that is no emoji.
"""

from collections.abc import Mapping, Sequence

from service.common.errors import ValidationFailed
from service.common.text import reaction, without_selectors

Reactions = Mapping[str, Sequence[str]]


def parse_emoji(text: str) -> str:
    """Return the fully qualified form of `text`. Raises ValidationFailed (`emoji`) if it is not one emoji."""
    emoji = reaction(text)
    if emoji is None:
        raise ValidationFailed.of("emoji", "This is not an emoji.")
    return emoji


def with_reaction(reactions: Reactions, text: str, user_id: str, *, on: bool) -> dict[str, list[str]] | None:
    """Return `reactions` after a user has added or removed the reaction `text`; None if nothing changes.

    All stored forms of the emoji are merged into one. Raises ValidationFailed (`emoji`) if `text` is not one emoji,
    unless it is a reaction from before that was checked, and is removed.
    """
    forms = {form for form in reactions if without_selectors(form) == without_selectors(text)}
    emoji = text if forms and not on and reaction(text) is None else parse_emoji(text)
    users = list(dict.fromkeys(user for form in forms for user in reactions[form]))
    if (user_id in users) is on:
        return None
    users = [*users, user_id] if on else [user for user in users if user != user_id]
    changed = {form: list(reacted) for form, reacted in reactions.items() if form not in forms}
    return {**changed, emoji: users} if users else changed
