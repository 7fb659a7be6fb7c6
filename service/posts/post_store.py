"""The posts, as they are stored."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pymongo import UpdateOne

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.datastores.scan import scan

FIRST_SPAN = timedelta(minutes=1)
SPAN_GROWTH = 8
SPANS = 8
"""A minute, then eight times as long each time: together four years; what is older comes at once."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)
"""Not this moment: the clock of the process that stored the latest post may be ahead of ours."""


NOT_ERASED = {"erased": None}


class PostStore:
    """`posts`: `{author_id, content, comment_count, created_at, erased?}`.

    `comment_count` is the number of the last comment, raised after it: only ever upwards, so as often as one likes.
    `erased`: its author has been deleted, and it is there only for the comments of others.
    """

    def __init__(self, database: Database) -> None:
        self._posts = database["posts"]

    async def create_indexes(self) -> None:
        async with unavailable():
            await self._posts.create_index([("created_at", -1), ("_id", -1)])

    async def insert(self, author_id: str, content: str, created_at: datetime) -> Document:
        """Raises Unavailable."""
        document = {
            "_id": ObjectId(),
            "author_id": ObjectId(author_id),
            "content": content,
            "comment_count": 0,
            "created_at": created_at,
        }
        async with unavailable():
            await self._posts.insert_one(document)
        return document

    async def post(self, post_id: str) -> Document | None:
        """Raises Unavailable."""
        async with unavailable():
            document: Document | None = await self._posts.find_one({"_id": ObjectId(post_id)})
        return document

    async def latest(self, limit: int, before: Document | None, now: datetime) -> list[Document]:
        """The `limit` latest before the post `before` (None: of all), latest first. Raises Unavailable.

        Looks back in growing spans of time: the embedded database reads and sorts all that a query matches.
        """
        moment, end, below = now, END, {}
        if before:
            moment = before["created_at"]
            end = moment + timedelta(milliseconds=1)
            # Of the same millisecond, the ids decide.
            below = {"$or": [{"created_at": {"$lt": moment}}, {"_id": {"$lt": before["_id"]}}]}
        found: list[Document] = []
        for since, until in _spans(moment, end):
            where = {"created_at": {"$gte": since, "$lt": until}, **below}
            async with unavailable():
                cursor = self._posts.find(where).sort([("created_at", -1), ("_id", -1)]).limit(limit - len(found))
                found += await cursor.to_list(limit)
            if len(found) >= limit:
                break
        return found

    async def authors(self, post_ids: Collection[ObjectId]) -> dict[ObjectId, ObjectId | None]:
        """The author of each post there is; None of one whose author has been deleted. Raises Unavailable."""
        found = await find_by_ids(self._posts, post_ids, {"author_id": 1, "erased": 1})
        return {document["_id"]: author_of(document) for document in found}

    async def erase(self, author_id: str, since: datetime | None = None) -> int:
        """Take out the posts of a user who is being deleted, from `since` on; of those with comments leave the place.

        How many those were. Repeatable. Raises Unavailable.
        """
        erased = 0
        mine = {"author_id": ObjectId(author_id)}
        async for batch in scan(self._posts, {**mine, **NOT_ERASED}, {"_id": 1}, since):
            which = {"_id": {"$in": [document["_id"] for document in batch]}}
            async with unavailable():
                await self._posts.delete_many({**which, "comment_count": 0})
                await self._posts.update_many(which, {"$set": {"content": "", "erased": True}})
            erased += len(batch)
        return erased

    async def comment_counts(self, post_ids: Collection[ObjectId]) -> dict[ObjectId, int]:
        """For SequencedLog: a number that each post's comments have reached. Raises Unavailable."""
        async with unavailable():
            found = await self._posts.find({"_id": {"$in": list(post_ids)}}, {"comment_count": 1}).to_list(
                len(post_ids)
            )
        return {document["_id"]: document["comment_count"] for document in found}

    async def raise_comment_counts(self, reached: Mapping[ObjectId, int]) -> None:
        """The comments of these posts have reached these numbers. Raises Unavailable."""
        changes = [UpdateOne({"_id": post}, {"$max": {"comment_count": count}}) for post, count in reached.items()]
        await update_all(self._posts, changes)


def author_of(document: Document) -> ObjectId | None:
    """Of a post or a comment: who is to be told of what becomes of it."""
    return None if document.get("erased") else document["author_id"]


def _spans(moment: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Adjoining spans of time from `end` back to the beginning: the first until FIRST_SPAN before `moment`."""
    until, since = end, moment - FIRST_SPAN
    for growth in range(1, SPANS + 1):
        yield since, until
        until, since = since, since - FIRST_SPAN * SPAN_GROWTH**growth
    yield BEGINNING, until
