"""The terms that a message is indexed under."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from service.common.text import searchable_words

MAX_TERM = 24
"""Characters of a term. Of longer words the beginning is indexed; a search reads the message before it returns it."""
SENDER = "@"
"""Begins the term of the sender. No word has it."""


def terms_of(message: Mapping[str, Any]) -> set[str]:
    """Return the terms of a stored message: its words, and its sender; none of a system or a deleted message."""
    if not message["content"]:
        return set()
    return {sender_term(message["sender_id"]), *(word[:MAX_TERM] for word in searchable_words(message["content"]))}


def sender_term(sender_id: ObjectId) -> str:
    """Return the term of the messages of one sender."""
    # The end first: it differs most, and two characters decide about the bucket.
    return SENDER + str(sender_id)[::-1]
