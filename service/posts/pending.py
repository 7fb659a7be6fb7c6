"""Documents whose notifications are pending: each has a mark until they are stored."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bson import ObjectId
from pymongo import UpdateOne

from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, unavailable, update_all
from service.notifications.models import PostRequest
from service.posts.notice import Candidate, Notice

PENDING = "owed"
"""The name of the stored field that marks a document as pending."""
MENTIONED = "mentioned"
"""The name of the stored field with the ids of those whom texts mentioned that are no longer stored."""
ADDED = "added"
"""The name of the stored field with the mentions that an edit has added. If a marked document has it, nobody else is to
be notified."""

CLEAR_BATCH = 8
"""Marks that one command removes. The embedded database takes 5 ms for it, twice as long as to store the comments."""
MAX_CLEAR_PAUSE = 0.05
"""Seconds between two of these commands, at most. The pause takes as long as the first: half of the time is left to
others."""

Selection = asyncio.Future[list[PostRequest]]


@dataclass(slots=True, eq=False)
class Pending:
    """A document that is marked. `selections`: who is notified of each notice, if looking that up has begun."""

    source: "PendingSource"
    document: Document
    notices: Sequence[Notice]
    selections: Sequence[Selection | None] = ()

    @property
    def lane(self) -> ObjectId:
        """The post that it concerns: nearly all notifications of one post are for one user."""
        lane: ObjectId = self.document.get("post_id") or self.document["_id"]
        return lane


class PendingSource(Protocol):
    """The marked documents of one collection."""

    async def pending(self, after: ObjectId | None, limit: int) -> Sequence[Pending]:
        """Return the `limit` oldest marked documents with an id above `after`. Raises Unavailable."""
        ...

    async def complete(self, done: Sequence[Pending]) -> None:
        """Do what else is due for these documents, at least one, and remove their marks. Raises Unavailable."""
        ...


def pending_notice(document: Document, notice: Notice) -> Notice:
    """Return what people are to be notified of because `document` is marked. `notice`: of its current text alone."""
    if ADDED in document:
        return notice._replace(candidates=(), mentions=[tuple(names) for names in document[ADDED]])
    return with_formerly_mentioned(document, notice)


def with_formerly_mentioned(document: Document, notice: Notice) -> Notice:
    """Return the notice with those, too, whom earlier texts of the document mentioned."""
    mentions: list[Candidate] = [(user_id, "NEW_MENTION") for user_id in document.get(MENTIONED, ())]
    return notice._replace(candidates=[*notice.candidates, *mentions])


async def clear_marks(
    collection: MongoCollection, documents: Collection[Document], selected: Callable[[Iterable[Document]], Document]
) -> None:
    """Remove the marks of these documents, at least one, but of none that was edited or deleted since.

    `selected` returns the filter of documents. Raises Unavailable.
    """
    removal = {"$unset": {PENDING: "", ADDED: ""}}
    original = [document for document in documents if "edited_at" not in document]
    edited = [document for document in documents if "edited_at" in document]
    while original:
        # A few at a time: meanwhile, the embedded database stores nothing else. Nobody waits for this.
        part, original = original[:CLEAR_BATCH], original[CLEAR_BATCH:]
        began = time.monotonic()
        async with unavailable():
            await collection.update_many(selected(part) | {PENDING: True, "edited_at": None}, removal)
        if original:
            await asyncio.sleep(min(MAX_CLEAR_PAUSE, time.monotonic() - began))
    if edited:
        marks = [{PENDING: True, "edited_at": document["edited_at"]} for document in edited]
        await update_all(
            collection,
            [UpdateOne(selected([document]) | mark, removal) for document, mark in zip(edited, marks, strict=True)],
        )
