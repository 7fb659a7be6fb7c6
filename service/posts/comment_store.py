"""The store of comments: a numbered list per post."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from bson import ObjectId
from pymongo import UpdateOne

from service.attachments.attachment_store import Claim
from service.attachments.attachments import FIELD as ATTACHMENTS
from service.attachments.attachments import ids_in
from service.common.times import now
from service.datastores.find_by_ids import Place, find_in_lists, in_lists
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.datastores.numbered_ranges import ascending, descending
from service.datastores.scan import WHOLE_BATCH, scan
from service.datastores.sequenced_log import Appended, SequencedLog
from service.datastores.update_and_find import update_and_find
from service.posts.content_change import DIGEST, current_text, digest_of
from service.posts.models import NewComment
from service.posts.pending import MENTIONED, PENDING, clear_marks
from service.posts.post_store import LIVE, NOT_DELETED, NOT_ERASED, PostStore, author_of

TOMBSTONE, UNCOUNTED = "tombstone", "uncounted"
IS_REPLY = {"$type": "objectId"}
"""What the `parent_id` of a reply is."""
SHOWN = {"$or": [NOT_DELETED, {TOMBSTONE: True}]}
"""The comments that readers of the post see."""


class Parent(NamedTuple):
    """A comment that is replied to. `author_id` is None if its author has been deleted; `exists`: the comment has not
    been."""

    post_id: ObjectId
    author_id: ObjectId | None
    exists: bool


class CommentStore:
    """`comments`: `{post_id, number, parent_id, author_id, content, nonce?, digest?, created_at, edited_at?, owed?,
    added?, mentioned?, erased?, deleted_at?, tombstone?, uncounted?, reactions?, reactions_version?}`.

    `number` numbers a post's comments 1, 2, 3 … without gaps, so the last number is the count of all that there ever
    were. Repeated requests and crashes cannot make it wrong. `owed` marks the comment as pending: its notifications and
    the post's `comment_count` may not be done. It is written with the comment, or with an edit, and removed once they
    are; for `added` and `mentioned` see `pending`. `erased`: the author has been deleted.

    `deleted_at`: the comment has been deleted, and keeps its place and number until the post is deleted. It does not
    exist for anybody unless `tombstone` says that comments which exist reply to it. `owed` is the same time until
    everything that belongs to it is deleted; see DeletionWorker. `uncounted`: the post's count may still include it.
    `reactions`: the number of each reaction; see ReactionStore.
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
        # For the tombstones.
        await self._comments.create_index(
            [("post_id", 1), ("parent_id", 1)], partialFilterExpression={"parent_id": IS_REPLY}
        )

    def append(
        self,
        author_id: str,
        post_id: str,
        comment: NewComment,
        comment_id: ObjectId | None = None,
        attachments: Sequence[Document] = (),
    ) -> asyncio.Future[Appended]:
        """Store `comment`, or find the earlier one with the same author, post and nonce. Raises Unavailable.

        `comment_id`: the id that it gets if it is stored. `attachments`: their summaries.
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
        if attachments:
            document[ATTACHMENTS] = attachments
        if comment.nonce is not None:
            document["nonce"] = comment.nonce
        return self._append.append(document)

    async def claimed(self, claim: Claim) -> Document | None:
        """Return the comment that a claim of attachments names, although it may have been deleted, or None. Raises
        Unavailable."""
        where: Document = {"post_id": claim.list_id, "author_id": claim.author_id}
        where |= {"nonce": claim.nonce} if claim.nonce is not None else {"_id": claim.object_id}
        async with unavailable():
            found: Document | None = await self._comments.find_one(where)
        return found

    async def after(
        self, post_id: str, number: int, last: int, limit: int, hidden: Collection[ObjectId] = ()
    ) -> list[Document]:
        """Return up to `limit` comments of the post after `number`, ascending; `last` is a number that it has reached.

        Those of the authors in `hidden` are left out. Raises Unavailable.
        """

        async def read(low: int, high: int, limit: int) -> list[Document]:
            where: Document = {"post_id": ObjectId(post_id), "number": {"$gte": low, "$lte": high}, **SHOWN}
            if hidden:
                where["author_id"] = {"$nin": list(hidden)}
            async with unavailable():
                return await self._comments.find(where).limit(limit).to_list(limit)

        return await ascending(read, "number", number, last, limit)

    async def by_places(self, places: Collection[Place]) -> list[Document]:
        """Return those of the comments that have not been deleted, in no order, each given as its post and its id.
        Raises Unavailable."""
        return await find_in_lists(self._comments, "post_id", places, where=NOT_DELETED)

    async def post_of(self, comment_id: ObjectId) -> ObjectId | None:
        """Return the post of a comment that has not been deleted, or None. For reports: asks every shard. Raises
        Unavailable."""
        async with unavailable():
            found = await self._comments.find_one({"_id": comment_id, **NOT_DELETED}, {"post_id": True})
        return found["post_id"] if found else None

    async def with_deleted(self, places: Collection[Place]) -> list[Document]:
        """Like `by_places`, with those, too, that have been deleted. Raises Unavailable."""
        return await find_in_lists(self._comments, "post_id", places)

    async def parents(self, places: Collection[Place]) -> dict[ObjectId, Parent]:
        """Return those of the comments that are stored, each given as its post and its id. Raises Unavailable."""
        fields = dict.fromkeys(("author_id", "erased", "deleted_at"), True)
        found = await find_in_lists(self._comments, "post_id", places, fields)
        return {each["_id"]: Parent(each["post_id"], author_of(each), "deleted_at" not in each) for each in found}

    async def written_by(self, author_id: str, since: datetime | None = None) -> AsyncIterator[list[Document]]:
        """Yield a user's comments in batches, optionally only those since `since`, with what their notices are made of.

        Raises Unavailable.
        """
        fields = dict.fromkeys(("post_id", "parent_id", "author_id", "content", MENTIONED), True)
        async for batch in scan(self._comments, {"author_id": ObjectId(author_id)}, fields, since):
            yield batch

    async def whole_of(self, author_id: str, since: datetime) -> AsyncIterator[list[Document]]:
        """Like `written_by`, with whole documents; not those that were erased or deleted."""
        async for batch in scan(self._comments, {"author_id": ObjectId(author_id)}, None, since, WHOLE_BATCH):
            yield [document for document in batch if "deleted_at" not in document and not document.get("erased")]

    async def erase(self, comments: Collection[Document], mentioned: Mapping[ObjectId, Sequence[ObjectId]]) -> None:
        """Erase the content of these comments, at least one. `mentioned`: whom it mentions, by the id of the comment.

        Can be repeated. Raises Unavailable.
        """
        erased: Document = {"content": "", "erased": True, ATTACHMENTS: []}
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

    async def clear_pending(self, comments: Collection[Document]) -> None:
        """Remove the pending marks of these comments, at least one; see `clear_marks`. Raises Unavailable."""
        await clear_marks(self._comments, comments, _selected)

    async def change(self, document: Document, author_id: str | None, change: Document) -> Document | None:
        """Change a comment if `document` is its current text and mark, and it is `author_id` who has written it (None:
        whoever has). Returns the changed comment, None if it is not. Raises Unavailable."""
        where: Document = {**_place(document), **LIVE, **current_text(document)}
        if author_id is not None:
            where["author_id"] = ObjectId(author_id)
        return await update_and_find(self._comments, where, change, "post_id")

    async def has_replies(self, comment: Document) -> bool:
        """Return whether a comment that exists replies to this one. Raises Unavailable."""
        # MongoDB uses a partial index only if the query says what its filter says.
        parent = {"$eq": comment["_id"], **IS_REPLY}
        replies = {"post_id": comment["post_id"], "parent_id": parent, **SHOWN}
        async with unavailable():
            found = await self._comments.find(replies, {"_id": 1}).limit(1).to_list(1)
        return bool(found)

    async def set_tombstone(self, comment: Document, on: bool) -> None:
        """Let a deleted comment exist as a tombstone, or no longer. Raises Unavailable."""
        change = {"$set": {TOMBSTONE: True}} if on else {"$unset": {TOMBSTONE: ""}}
        async with unavailable():
            await self._comments.update_one({**_place(comment), "deleted_at": {"$ne": None}}, change)

    async def set_counted(self, comment: Document) -> None:
        """Note that the post's count no longer includes this deleted comment. Raises Unavailable."""
        async with unavailable():
            await self._comments.update_one(_place(comment), {"$unset": {UNCOUNTED: ""}})

    async def deleted_before(self, moment: datetime, limit: int) -> list[Document]:
        """Return up to `limit` of the comments that were deleted before `moment`, but not everything that belongs to
        them. Raises Unavailable."""
        async with unavailable():
            found: list[Document] = await self._comments.find({PENDING: {"$lt": moment}}).limit(limit).to_list(limit)
        return found

    async def finish_deletion(self, comment: Document) -> None:
        """Remove the mark of a deleted comment. Raises Unavailable."""
        async with unavailable():
            await self._comments.update_one(
                {**_place(comment), PENDING: comment["deleted_at"]}, {"$unset": {PENDING: ""}}
            )

    async def newest(self, post_id: ObjectId, below: int, limit: int) -> list[Document]:
        """Return up to `limit` comments of the post with the highest numbers below `below`, descending, with those that
        have been deleted. Raises Unavailable."""

        async def read(low: int, high: int, limit: int) -> list[Document]:
            where: Document = {"post_id": post_id, "number": {"$gte": low, "$lte": high}}
            async with unavailable():
                return await self._comments.find(where).limit(limit).to_list(limit)

        return await descending(read, "number", below, limit)

    async def last_number(self, post: Document) -> int:
        """Return the number of the last comment of the post. Raises Unavailable."""
        return await self._append.last_number(post["_id"], post["comment_count"])

    async def remove(self, comments: Collection[Document]) -> None:
        """Remove these comments of a deleted post, at least one. Raises Unavailable."""
        async with unavailable():
            await self._comments.delete_many(_selected(comments))

    async def close(self) -> None:
        await self._append.close()


def is_same(new: NewComment, stored: Document) -> bool:
    """Return whether `stored`, found by its nonce, was made of `new`. Of a deleted comment nobody knows."""
    if "deleted_at" in stored:
        return True
    digest = stored.get(DIGEST) or digest_of(stored["content"], stored["parent_id"])
    same_files = list(map(str, ids_in(stored))) == new.attachments
    return same_files and digest == digest_of(new.content, new.parent_id)


def is_shown(comment: Document) -> bool:
    """Return whether readers of the post see the comment."""
    return "deleted_at" not in comment or TOMBSTONE in comment


def _place(comment: Document) -> Document:
    return {"_id": comment["_id"], "post_id": comment["post_id"]}


def _selected(comments: Iterable[Document]) -> Document:
    return in_lists("post_id", [(comment["post_id"], comment["_id"]) for comment in comments])


def _identity(document: Document) -> Document | None:
    if "nonce" not in document:
        return None
    return {name: document[name] for name in ("post_id", "author_id", "nonce")}
