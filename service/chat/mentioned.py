"""Whom a message mentions: the participants named by `@username`, or all by `@all`."""

from collections.abc import Iterable, Mapping

from bson import ObjectId

from service.chat.conversation_head import ConversationHead
from service.common.mentions import mentions_in, resolved

EVERYONE = "all"
MAX_EVERYONE = 100
"""Participants of a group in which `@all` names everyone. In a larger one it would notify thousands."""


def names_in(texts: Iterable[str]) -> set[str]:
    """Return the usernames that may be meant in these texts. Of most texts, it looks for an `@` only."""
    return {name for text in texts if "@" in text for mention in mentions_in(text) for name in mention} - {EVERYONE}


def mentioned(text: str, user_ids: Mapping[str, str], head: ConversationHead) -> list[ObjectId]:
    """Return the participants whom `text` mentions, in the order of their first mentions.

    `user_ids`: by username. Who is no participant is not mentioned.
    """
    if "@" not in text:
        return []
    found: dict[ObjectId, None] = {}
    for mention in mentions_in(text):
        if EVERYONE in mention:
            if len(head.participants) <= MAX_EVERYONE:
                found |= dict.fromkeys(map(ObjectId, head.participants))
        elif user_id := resolved(mention, user_ids):
            key = ObjectId(user_id)
            if head.has_member(key):
                found[key] = None
    return list(found)
