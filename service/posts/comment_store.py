"""The store of comments: a numbered list per post."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from bson import ObjectId
from pymongo import UpdateOne

from service.common.times import now
from service.datastores.find_by_ids import Place, find_in_lists, in_lists
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.datastores.numbered_ranges import ascending
from service.datastores.scan import scan
from service.datastores.sequenced_log import Appended, SequencedLog
from service.posts.models import NewComment
from service.posts.pending import MENTIONED, PENDING
from service.posts.post_store import NOT_ERASED, PostStore, author_of


class Parent(NamedTuple):
    """A comment that is replied to. `author_id` is None if its author has been deleted."""

    post_id: ObjectId
    author_id: ObjectId | None


class CommentStore:
    """`comments`: `{post_id, number, parent_id, author_id, content, nonce?, owed?, created_at, erased?, mentioned?,
    reactions?, reactions_version?}`.

    `number` numbers a post's comments 1, 2, 3 … without gaps, so the last number is the count. Repeated requests and
    crashes cannot make it wrong. `owed` marks the comment as pending: its notifications and the post's `comment_count`
    may not be done. It is written with the comment and removed once they are. `erased`: the author has been deleted.
    `mentioned`: whom the text mentioned that has been erased. `reactions`: the number of each reaction; see
    ReactionStore.
    """

    def __init__(self, database: Database, posts: PostStore, on_batch: Callable[[int], None] | None = None) -> None:
        """`on_batch`: see SequencedLog."""
        self._comments = database["comments"]
        self._append = SequencedLog(
            self._comments,
            scope="post_id",
            number="number",
            identity=_identity,
            hints=posts.comment_counts,
            on_batch=on_batch,
        )

    async def create_indexes(self) -> None:
        await self._comments.create_index([("post_id", 1), ("number", 1)], unique=True)
        await self._comments.create_index(
            [("post_id", 1), ("author_id", 1), ("nonce", 1)],
            unique=True,
            partialFilterExpression={"nonce": {"$exists": True}},
        )
        await self._comments.create_index(
            [(PENDING, 1), ("_id", 1)], partialFilterExpression={PENDING: {"$exists": True}}
        )

    def append(
        self, author_id: str, post_id: str, comment: NewComment, comment_id: ObjectId | None = None
    ) -> asyncio.Future[Appended]:
        """Store `comment`, or find the earlier one with the same author, post and nonce. Raises Unavailable.

        `comment_id`: the id that it gets if it is stored.
        """
        document: Document = {
            "_id": comment_id or ObjectId(),
            "post_id": ObjectId(post_id),
            "parent_id": ObjectId(comment.parent_id) if comment.parent_id else None,
            "author_id": ObjectId(author_id),
            "content": comment.content,
            PENDING: True,
            "created_at": now(),
        }
        if comment.nonce is not None:
            document["nonce"] = comment.nonce
        return self._append.append(document)

    async def after(
        self, post_id: str, number: int, last: int, limit: int, hidden: Collection[ObjectId] = ()
    ) -> list[Document]:
        """Return up to `limit` comments of the post after `number`, ascending; `last` is a number that it has reached.

        Those of the authors in `hidden` are left out. Raises Unavailable.
        """

        async def read(low: int, high: int, limit: int) -> list[Document]:
            where: Document = {"post_id": ObjectId(post_id), "number": {"$gte": low, "$lte": high}}
            if hidden:
                where["author_id"] = {"$nin": list(hidden)}
            async with unavailable():
                return await self._comments.find(where).limit(limit).to_list(limit)

        return await ascending(read, "number", number, last, limit)

    async def by_places(self, places: Collection[Place]) -> list[Document]:
        """Return those of the comments that exist, in no order, each given as its post and its id. Raises
        Unavailable."""
        return await find_in_lists(self._comments, "post_id", places)

    async def parents(self, places: Collection[Place]) -> dict[ObjectId, Parent]:
        """Return those of the comments that exist, each given as its post and its id. Raises Unavailable."""
        found = await find_in_lists(self._comments, "post_id", places, {"author_id": 1, "erased": 1})
        return {document["_id"]: Parent(document["post_id"], author_of(document)) for document in found}

    async def written_by(self, author_id: str, since: datetime | None = None) -> AsyncIterator[list[Document]]:
        """Yield a user's comments in batches, optionally only those since `since`, with what their notices are made of.

        Raises Unavailable.
        """
        fields = dict.fromkeys(("post_id", "parent_id", "author_id", "content", MENTIONED), True)
        async for batch in scan(self._comments, {"author_id": ObjectId(author_id)}, fields, since):
            yield batch

    async def erase(self, comments: Collection[Document], mentioned: Mapping[ObjectId, Sequence[ObjectId]]) -> None:
        """Erase the content of these comments, at least one. `mentioned`: whom it mentions, by the id of the comment.

        Can be repeated. Raises Unavailable.
        """
        erased: Document = {"content": "", "erased": True}
        by_mentions = [
            UpdateOne(
                {"_id": comment["_id"], "post_id": comment["post_id"], **NOT_ERASED},
                {"$set": {**erased, MENTIONED: list(mentioned[comment["_id"]])}},
            )
            for comment in comments
            if comment["_id"] in mentioned
        ]
        if by_mentions:
            await update_all(self._comments, by_mentions)
        async with unavailable():
            await self._comments.update_many(_selected(comments) | NOT_ERASED, {"$set": erased})

    async def pending(self, after: ObjectId | None, limit: int) -> list[Document]:
        """Return the `limit` oldest pending comments with an id above `after`. Raises Unavailable."""
        where: Document = {PENDING: True}
        if after:
            where["_id"] = {"$gt": after}
        async with unavailable():
            found: list[Document] = await self._comments.find(where).sort("_id", 1).limit(limit).to_list(limit)
        return found

    async def clear_pending(self, comments: Iterable[Document]) -> None:
        """Remove the pending marks of these comments, at least one. Raises Unavailable."""
        async with unavailable():
            await self._comments.update_many(_selected(comments), {"$unset": {PENDING: ""}})

    async def close(self) -> None:
        await self._append.close()


def _selected(comments: Iterable[Document]) -> Document:
    return in_lists("post_id", [(comment["post_id"], comment["_id"]) for comment in comments])


def _identity(document: Document) -> Document | None:
    if "nonce" not in document:
        return None
    return {name: document[name] for name in ("post_id", "author_id", "nonce")}
