"""Reactions: which text is one, and the reactions to a message as `{emoji: [user id]}`.

Forms of one emoji, with and without variation selectors, are one reaction. It is stored fully qualified, but older
messages may have other forms of it, and text that is no emoji.
"""

from collections.abc import Mapping, Sequence

from service.common.emoji import MAX_EMOJIS, parse_emoji
from service.common.errors import ValidationFailed
from service.common.text import reaction, without_selectors

Reactions = Mapping[str, Sequence[str]]

MAX_REACTIONS = 100_000
"""Reactions to one message: four megabytes of its document, which can have sixteen."""
MAX_SHOWN_USERS = 100
"""User ids shown of each reaction. So a message has at most 135 KB of them, and fits into a connection's queue."""


def with_reaction(reactions: Reactions, text: str, user_id: str, *, on: bool) -> dict[str, list[str]] | None:
    """Return `reactions` after a user has added or removed the reaction `text`; None if nothing changes.

    All stored forms of the emoji are merged into one. Raises ValidationFailed (`emoji`) if `text` is not one emoji,
    unless it is a reaction from before that was checked, and is removed; or if there are too many reactions already.
    """
    forms = {form for form in reactions if without_selectors(form) == without_selectors(text)}
    emoji = text if forms and not on and reaction(text) is None else parse_emoji(text)
    users = list(dict.fromkeys(user for form in forms for user in reactions[form]))
    if (user_id in users) is on:
        return None
    users = [*users, user_id] if on else [user for user in users if user != user_id]
    changed = {form: list(reacted) for form, reacted in reactions.items() if form not in forms}
    if users:
        changed[emoji] = users
    if on:
        _check_bounds(reactions, changed)
    return changed


def _check_bounds(before: Reactions, after: Reactions) -> None:
    if len(after) > max(MAX_EMOJIS, len(before)):
        raise ValidationFailed.of("emoji", f"A message has at most {MAX_EMOJIS} different reactions.")
    if sum(map(len, after.values())) > MAX_REACTIONS:
        raise ValidationFailed.of("emoji", f"A message has at most {MAX_REACTIONS} reactions.")


def shown_users(reactions: Reactions, viewer: str | None) -> dict[str, Sequence[str]]:
    """Return `reactions` with at most MAX_SHOWN_USERS of each: the first ones, `viewer` included if they reacted."""
    return {
        emoji: users if len(users) <= MAX_SHOWN_USERS else _first(users, viewer) for emoji, users in reactions.items()
    }


def _first(users: Sequence[str], viewer: str | None) -> list[str]:
    first = list(users[:MAX_SHOWN_USERS])
    if viewer is not None and viewer not in first and viewer in users:
        first[-1] = viewer
    return first
