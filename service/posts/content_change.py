"""What an edit or the deletion of a post or comment writes into its document."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from bson import ObjectId

from service.common.mentions import mentions_in
from service.common.times import now
from service.datastores.mongo import Document
from service.posts.pending import ADDED, MENTIONED, PENDING

MAX_MENTIONED = 200
"""Users whom earlier texts of one post or comment have mentioned. Then an edit notifies nobody else."""
DIGEST = "digest"
"""The name of the stored field that identifies the first text of an edited comment with a nonce."""


def current_text(document: Document) -> Document:
    """Return the filter that matches while the text and the mark of the stored document are those of `document`."""
    return {"edited_at": document.get("edited_at"), PENDING: document.get(PENDING)}


def edit_of(document: Document, content: str, mentioned: Collection[ObjectId]) -> Document:
    """Return the change that replaces the text. `mentioned`: the users whom the present text mentions."""
    before = mentions_in(document["content"])
    known = _with(document.get(MENTIONED, ()), mentioned)
    values: Document = {"content": content, "edited_at": _later_than(document.get("edited_at"))}
    if known:
        values[MENTIONED] = known
    if document.get(PENDING) and ADDED not in document:
        # Written again: only with this text, and not with an earlier one, is the mark removed.
        values[PENDING] = True
    else:
        added = [mention for mention in mentions_in(content) if mention not in before]
        waiting = [
            *document.get(ADDED, []),
            *([list(mention) for mention in added] if len(known) < MAX_MENTIONED else []),
        ]
        if waiting:
            values |= {PENDING: True, ADDED: waiting}
    if "nonce" in document and DIGEST not in document:
        values[DIGEST] = digest_of(document["content"], document["parent_id"])
    return {"$set": values}


def deletion_of(document: Document, mentioned: Collection[ObjectId]) -> Document:
    """Return the change that deletes the text, and marks the document with the time: what belongs to it is to be
    deleted, too. `mentioned`: as in `edit_of`."""
    moment = now()
    values: Document = {"content": "", "deleted_at": moment, PENDING: moment, "reactions": {}}
    if known := _with(document.get(MENTIONED, ()), mentioned):
        values[MENTIONED] = known
    return {"$set": values, "$unset": {ADDED: "", DIGEST: ""}, "$inc": {"reactions_version": 1}}


def digest_of(content: str, parent_id: ObjectId | str | None) -> bytes:
    """Return what identifies the text of a comment, and the comment that it replies to."""
    return hashlib.blake2b(f"{parent_id}\n{content}".encode(), digest_size=16).digest()


def _with(known: Iterable[ObjectId], more: Iterable[ObjectId]) -> list[ObjectId]:
    return list(dict.fromkeys([*known, *more]))


def _later_than(earlier: datetime | None) -> datetime:
    """Return the current time, but a later one than `earlier`: each edit has another."""
    return max(now(), earlier + timedelta(milliseconds=1)) if earlier else now()
