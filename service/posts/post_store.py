"""The store of posts."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pymongo import UpdateOne

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.datastores.scan import scan
from service.posts.pending import PENDING

FIRST_RANGE = timedelta(minutes=1)
RANGE_GROWTH = 8
RANGES = 8
"""The first range is a minute, each further one 8 times as long: together 4 years. A last range has the rest."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)
"""Not the current time: the process that stored the latest post may have a clock that is ahead of this one's."""

NOT_ERASED = {"erased": None}
NOBODY = ObjectId(bytes(12))
"""The author of a post that was deleted and is restored for its comments."""


class PostStore:
    """`posts`: `{author_id, content, comment_count, created_at, owed?, erased?, reactions?, reactions_version?}`.

    `comment_count` is the number of the last comment. It is set after the comment is stored and never decreases, so an
    update can be repeated. `owed` marks the post as pending: those whom it mentions may not have been notified. It is
    written with the post. `erased`: the author has been deleted, and the post stays only for the comments of others.
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
    ) -> Document:
        """Store a new post. `pending`: with the mark. Raises Unavailable."""
        document: Document = {
            "_id": post_id or ObjectId(),
            "author_id": ObjectId(author_id),
            "content": content,
            "comment_count": 0,
            "created_at": created_at,
        }
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

    async def clear_pending(self, post_ids: Collection[ObjectId]) -> None:
        """Remove the pending marks of these posts, at least one. Raises Unavailable."""
        async with unavailable():
            await self._posts.update_many({"_id": {"$in": list(post_ids)}}, {"$unset": {PENDING: ""}})

    async def post(self, post_id: str) -> Document | None:
        """Return the post, or None. Raises Unavailable."""
        async with unavailable():
            document: Document | None = await self._posts.find_one({"_id": ObjectId(post_id)})
        return document

    async def by_ids(self, post_ids: Collection[ObjectId]) -> list[Document]:
        """Return those of the posts that exist, in no order. Raises Unavailable."""
        return await find_by_ids(self._posts, post_ids)

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

        Queries time ranges of growing length: the embedded database reads and sorts everything that a query matches.
        Raises Unavailable.
        """
        moment, end = now, END
        below: Document = {"author_id": {"$nin": list(hidden)}} if hidden else {}
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

    async def authors(self, post_ids: Collection[ObjectId]) -> dict[ObjectId, ObjectId | None]:
        """Return the author of each post that exists, None if the author has been deleted. Raises Unavailable."""
        found = await find_by_ids(self._posts, post_ids, {"author_id": 1, "erased": 1})
        return {document["_id"]: author_of(document) for document in found}

    async def written_by(self, author_id: str, since: datetime | None = None) -> AsyncIterator[list[Document]]:
        """Yield `_id` and `content` of a user's posts in batches, optionally only of those since `since`; not of those
        that were erased before. Raises Unavailable."""
        mine = {"author_id": ObjectId(author_id), **NOT_ERASED}
        async for batch in scan(self._posts, mine, {"content": 1}, since):
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
            emptied = {"content": "", "erased": True, "reactions": {}}
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


def _time_ranges(moment: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield adjacent time ranges from `end` back to BEGINNING; the first ends at FIRST_RANGE before `moment`."""
    until, since = end, moment - FIRST_RANGE
    for growth in range(1, RANGES + 1):
        yield since, until
        until, since = since, since - FIRST_RANGE * RANGE_GROWTH**growth
    yield BEGINNING, until
