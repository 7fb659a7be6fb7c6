"""Documents whose notifications are pending: each has a mark until they are stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bson import ObjectId

from service.datastores.mongo import Document
from service.notifications.models import PostRequest
from service.posts.notice import Notice

PENDING = "owed"
"""The name of the stored field that marks a document as pending."""
MENTIONED = "mentioned"
"""The name of the stored field with the ids of those whom the first text mentioned, if that is no longer stored."""

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
