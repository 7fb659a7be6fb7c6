"""The store of posts."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bson import ObjectId
from pymongo import UpdateOne

from service.attachments.attachments import FIELD as ATTACHMENTS
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.datastores.scan import WHOLE_BATCH, scan
from service.datastores.update_and_find import update_and_find
from service.posts.content_change import current_text
from service.posts.pending import MENTIONED, PENDING, clear_marks

FIRST_RANGE = timedelta(minutes=1)
RANGE_GROWTH = 8
RANGES = 8
"""The first range is a minute, each further one 8 times as long: together 4 years. A last range has the rest."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)
"""Not the current time: the process that stored the latest post may have a clock that is ahead of this one's."""

NOT_ERASED = {"erased": None}
NOT_DELETED = {"deleted_at": None}
LIVE = NOT_ERASED | NOT_DELETED
NOBODY = ObjectId(bytes(12))
"""The author of a post that was deleted and is restored for its comments."""


class Commented(NamedTuple):
    """A post that is commented on. `author_id` is None if its author has been deleted; `exists`: the post has not
    been."""

    author_id: ObjectId | None
    exists: bool


class PostStore:
    """`posts`: `{author_id, content, comment_count, created_at, edited_at?, owed?, added?, mentioned?, erased?,
    deleted_at?, deleted_comments?, uncounting?, attachments?, reactions?, reactions_version?}`.

    `comment_count` is the number of the last comment. It is set after the comment is stored and never decreases, so an
    update can be repeated. `deleted_comments` of them have been deleted; `uncounting` has those of which that was
    counted in the last minute, so counting one can be repeated, too.

    `owed` marks the post as pending: those whom it mentions may not have been notified. It is written with the post, or
    with an edit; for `added` and `mentioned` see `pending`. `erased`: the author has been deleted, and the post stays
    only for the comments of others. `deleted_at`: the post has been deleted, and does not exist for anybody; `owed` is
    the same time until everything that belongs to the post is deleted; see DeletionWorker.
    `reactions`: the number of each reaction; see ReactionStore.
    """

    def __init__(self, database: Database) -> None:
        self._posts = database["posts"]
        self._comments = database["comments"]
        """Only read here, to see which posts have comments; see CommentStore."""

    async def create_indexes(self) -> None:
        await self._posts.create_index([("created_at", -1), ("_id", -1)])
        await self._posts.create_index([(PENDING, 1), ("_id", 1)], partialFilterExpression={PENDING: {"$exists": True}})

    async def insert(
        self,
        author_id: str,
        content: str,
        created_at: datetime,
        *,
        post_id: ObjectId | None = None,
        pending: bool = False,
        attachments: Sequence[Document] = (),
    ) -> Document:
        """Store a new post. `pending`: with the mark. `attachments`: their summaries. Raises Unavailable."""
        document: Document = {
            "_id": post_id or ObjectId(),
            "author_id": ObjectId(author_id),
            "content": content,
            "comment_count": 0,
            "created_at": created_at,
        }
        if attachments:
            document[ATTACHMENTS] = attachments
        if pending:
            document[PENDING] = True
        async with unavailable():
            await self._posts.insert_one(document)
        return document

    async def pending(self, after: ObjectId | None, limit: int) -> list[Document]:
        """Return the `limit` oldest pending posts with an id above `after`. Raises Unavailable."""
        where: Document = {PENDING: True} | ({"_id": {"$gt": after}} if after else {})
        async with unavailable():
            found: list[Document] = await self._posts.find(where).sort("_id", 1).limit(limit).to_list(limit)
        return found

    async def clear_pending(self, posts: Collection[Document]) -> None:
        """Remove the pending marks of these posts, at least one; see `clear_marks`. Raises Unavailable."""
        await clear_marks(self._posts, posts, _selected)

    async def post(self, post_id: str) -> Document | None:
        """Return the post, or None. Raises Unavailable."""
        found = await self.with_deleted(ObjectId(post_id))
        return None if found is None or "deleted_at" in found else found

    async def with_deleted(self, post_id: ObjectId) -> Document | None:
        """Return the post although it may have been deleted, or None. Raises Unavailable."""
        async with unavailable():
            document: Document | None = await self._posts.find_one({"_id": post_id})
        return document

    async def by_ids(self, post_ids: Collection[ObjectId]) -> list[Document]:
        """Return those of the posts that exist, in no order. Raises Unavailable."""
        return await find_by_ids(self._posts, post_ids, where=NOT_DELETED)

    async def change(self, document: Document, author_id: str | None, change: Document) -> Document | None:
        """Change a post if `document` is its current text and mark, and it is `author_id` who has written it (None:
        whoever has). Returns the changed post, None if it is not. Raises Unavailable."""
        where: Document = {"_id": document["_id"], **LIVE, **current_text(document)}
        if author_id is not None:
            where["author_id"] = ObjectId(author_id)
        return await update_and_find(self._posts, where, change)

    async def deleted_before(self, moment: datetime, limit: int) -> list[Document]:
        """Return up to `limit` of the posts that were deleted before `moment`, but not everything that belongs to them.
        Raises Unavailable."""
        async with unavailable():
            found: list[Document] = await self._posts.find({PENDING: {"$lt": moment}}).limit(limit).to_list(limit)
        return found

    async def remove(self, post_id: ObjectId) -> None:
        """Remove the document of a deleted post. Raises Unavailable."""
        async with unavailable():
            await self._posts.delete_one({"_id": post_id, "deleted_at": {"$ne": None}})

    async def count_deletion(self, comment: Document) -> None:
        """Count that this comment of the post was deleted. Can be repeated until `forget_deletion`. Raises
        Unavailable."""
        change = {
            "$inc": {"deleted_comments": 1},
            "$push": {"uncounting": comment["_id"]},
            "$max": {"comment_count": comment["number"]},
        }
        async with unavailable():
            await self._posts.update_one({"_id": comment["post_id"], "uncounting": {"$ne": comment["_id"]}}, change)

    async def forget_deletion(self, comment: Document) -> None:
        """Forget which comment it was whose deletion was counted. Raises Unavailable."""
        async with unavailable():
            await self._posts.update_one({"_id": comment["post_id"]}, {"$pull": {"uncounting": comment["_id"]}})

    async def latest(
        self,
        limit: int,
        before: tuple[datetime, ObjectId] | None,
        now: datetime,
        hidden: Collection[ObjectId] = (),
    ) -> list[Document]:
        """Return the `limit` latest posts behind the sort key `before`, or of all if it is None. Latest first.

        Those of the authors in `hidden` are left out.

        The sort key of a post is its `created_at` and its id; there need not be a post with this one.

        Queries time ranges of growing length: not every database with MongoDB's protocol stops at the limit of a sort.
        Raises Unavailable.
        """
        moment, end = now, END
        below: Document = NOT_DELETED | ({"author_id": {"$nin": list(hidden)}} if hidden else {})
        if before:
            moment = before[0]
            end = moment + timedelta(milliseconds=1)
            # Posts of the same millisecond are ordered by id.
            below["$or"] = [{"created_at": {"$lt": moment}}, {"_id": {"$lt": before[1]}}]
        found: list[Document] = []
        for since, until in _time_ranges(moment, end):
            where = {"created_at": {"$gte": since, "$lt": until}, **below}
            async with unavailable():
                cursor = self._posts.find(where).sort([("created_at", -1), ("_id", -1)]).limit(limit - len(found))
                found += await cursor.to_list(limit)
            if len(found) >= limit:
                break
        return found

    async def commented(self, post_ids: Collection[ObjectId]) -> dict[ObjectId, Commented]:
        """Return those of the posts that are stored. Raises Unavailable."""
        found = await find_by_ids(self._posts, post_ids, dict.fromkeys(("author_id", "erased", "deleted_at"), True))
        return {document["_id"]: Commented(author_of(document), "deleted_at" not in document) for document in found}

    async def written_by(self, author_id: str, since: datetime | None = None) -> AsyncIterator[list[Document]]:
        """Yield a user's posts in batches, optionally only those since `since`, with what their notices are made of;
        not those that were erased or deleted before. Raises Unavailable."""
        mine = {"author_id": ObjectId(author_id), **LIVE}
        async for batch in scan(self._posts, mine, {"content": 1, MENTIONED: 1}, since):
            yield batch

    async def whole_of(self, author_id: str, since: datetime) -> AsyncIterator[list[Document]]:
        """Like `written_by`, with whole documents."""
        async for batch in scan(self._posts, {"author_id": ObjectId(author_id), **LIVE}, None, since, WHOLE_BATCH):
            yield batch

    async def erase(self, post_ids: Collection[ObjectId]) -> None:
        """Delete these posts, at least one. Posts with comments are emptied instead. The caller deletes the reactions.

        Can be repeated. Raises Unavailable.
        """
        ids = set(post_ids)
        async with unavailable():
            # The count may lag behind: see `raise_comment_counts`, also for a comment that comes after this read.
            commented = await self._comments.distinct("post_id", {"post_id": {"$in": list(ids)}, "number": 1})
            await self._posts.delete_many({"_id": {"$in": list(ids.difference(commented))}, "comment_count": 0})
            emptied = {"content": "", "erased": True, "reactions": {}, ATTACHMENTS: []}
            await self._posts.update_many(
                {"_id": {"$in": list(ids)}}, {"$set": emptied, "$inc": {"reactions_version": 1}}
            )

    async def comment_counts(self, post_ids: Collection[ObjectId]) -> dict[ObjectId, int]:
        """Return a lower bound of each post's last comment number: the hints of SequencedLog. Raises Unavailable."""
        async with unavailable():
            found = await self._posts.find({"_id": {"$in": list(post_ids)}}, {"comment_count": 1}).to_list(
                len(post_ids)
            )
        return {document["_id"]: document["comment_count"] for document in found}

    async def raise_comment_counts(self, counts: Mapping[ObjectId, int]) -> None:
        """Raise each post's count to at least the given number. Raises Unavailable.

        A comment may have been stored just when its post was deleted with its author. The post is then restored as an
        empty one, because the comment was acknowledged.
        """
        changes = [
            UpdateOne(
                {"_id": post},
                {
                    "$max": {"comment_count": count},
                    "$setOnInsert": {
                        "author_id": NOBODY,
                        "content": "",
                        "erased": True,
                        "created_at": post.generation_time,
                    },
                },
                upsert=True,
            )
            for post, count in counts.items()
        ]
        await update_all(self._posts, changes)


def author_of(document: Document) -> ObjectId | None:
    """Return the author of a post or comment, None if the author has been deleted."""
    return None if document.get("erased") else document["author_id"]


def has_content(document: Document) -> bool:
    """Return whether neither the post or comment has been deleted nor its author."""
    return "deleted_at" not in document and not document.get("erased")


def comment_count_of(post: Document) -> int:
    """Return the number of a post's comments that have not been deleted."""
    count: int = post["comment_count"] - post.get("deleted_comments", 0)
    return count


def _selected(posts: Iterable[Document]) -> Document:
    return {"_id": {"$in": [post["_id"] for post in posts]}}


def _time_ranges(moment: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield adjacent time ranges from `end` back to BEGINNING; the first ends at FIRST_RANGE before `moment`."""
    until, since = end, moment - FIRST_RANGE
    for growth in range(1, RANGES + 1):
        yield since, until
        until, since = since, since - FIRST_RANGE * RANGE_GROWTH**growth
    yield BEGINNING, until
