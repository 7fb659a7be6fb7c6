"""Mentions: the usernames that a text names as `@username`."""

from collections.abc import Mapping

import regex

MAX_MENTIONS = 50
"""Different names of one text that count: the first ones. They are looked up together, and 4,000 characters would hold
a thousand."""
MIN_NAME, MAX_NAME = 3, 32
"""Characters of a username; see `accounts.models.Username`."""
MENTION = regex.compile(r"(?<![\w@./])@([A-Za-z0-9_.]+)(?![\w@])")
"""Neither an e-mail address (`a@b.example`) nor a part of a URL (`/@ann`) is a mention."""

Mention = tuple[str, ...]
"""The usernames that may be meant, the first one that exists counts. A dot behind a name may be a part of it, or end
the sentence."""


def mentions_in(text: str) -> list[Mention]:
    """Return the first MAX_MENTIONS different mentions in `text`, in order, with case folded."""
    found: dict[Mention, None] = {}
    for match in MENTION.finditer(text):
        written = match[1].lower()
        names = dict.fromkeys((written, written.rstrip(".")))
        mention = tuple(name for name in names if MIN_NAME <= len(name) <= MAX_NAME)
        if mention:
            found[mention] = None
            if len(found) == MAX_MENTIONS:
                break
    return list(found)


def resolved(mention: Mention, user_ids: Mapping[str, str]) -> str | None:
    """Return the id of the user whom `mention` names, or None. `user_ids`: by username."""
    return next((user_ids[name] for name in mention if name in user_ids), None)
