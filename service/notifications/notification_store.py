"""The notifications, as they are stored: one numbered list for each user."""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from bson import ObjectId

from service.common.times import now
from service.datastores.mongo import Database, Document, unavailable
from service.datastores.sequenced_log import Appended, SequencedLog
from service.notifications.inbox_store import InboxStore
from service.notifications.models import NotificationRequest

PREVIEW = 140
"""Characters of a comment that its notification shows."""
BATCH = 500
"""Documents deleted at a time."""


class NotificationStore:
    """`notifications`: `{user_id, seq, type, sender_id, post_id, comment_id, preview, created_at}`.

    The oldest are deleted in time, once `inboxes` knows that they have been: it keeps the count.
    """

    def __init__(self, database: Database, inboxes: InboxStore, on_batch: Callable[[int], None] | None = None) -> None:
        """`on_batch`: see SequencedLog."""
        self._notifications = database["notifications"]
        self._append = SequencedLog(
            self._notifications,
            scope="user_id",
            number="seq",
            identity=lambda document: {"comment_id": document["comment_id"], "user_id": document["user_id"]},
            hints=inboxes.hints,
            on_batch=on_batch,
        )

    async def create_indexes(self) -> None:
        async with unavailable():
            await self._notifications.create_index([("user_id", 1), ("seq", 1)], unique=True)
            # One notification for one person and one comment, however often it is paid.
            await self._notifications.create_index([("comment_id", 1), ("user_id", 1)], unique=True)

    def append(self, draft: NotificationRequest) -> asyncio.Future[Appended]:
        """Give `draft` the next number of its user; where it has been given one before, find that."""
        return self._append.append(
            {
                "user_id": ObjectId(draft.user_id),
                "type": draft.type,
                "sender_id": ObjectId(draft.sender.id),
                "post_id": ObjectId(draft.post_id),
                "comment_id": ObjectId(draft.comment_id),
                "preview": draft.content[:PREVIEW],
                "created_at": now(),
            }
        )

    async def last(self, user_id: str, floor: int) -> int:
        """The number of the user's last notification, of which `floor` is known to exist (or 0). Raises Unavailable."""
        return await self._append.last_number(ObjectId(user_id), floor)

    async def between(self, user_id: str, first: int, last: int) -> list[Document]:
        """Those numbered from `first` to `last`, ascending. Raises Unavailable."""
        return await self._numbered(user_id, {"$gte": first, "$lte": last}, last - first + 1)

    async def numbered(self, user_id: str, seqs: Collection[int]) -> list[Document]:
        """Those with these numbers, ascending. Raises Unavailable."""
        return await self._numbered(user_id, {"$in": list(seqs)}, len(seqs))

    async def one(self, user_id: str, notification_id: str) -> Document | None:
        """Raises Unavailable."""
        async with unavailable():
            document: Document | None = await self._notifications.find_one(
                {"_id": ObjectId(notification_id), "user_id": ObjectId(user_id)}
            )
        return document

    async def erase_previews(self, comment_ids: Collection[ObjectId]) -> None:
        """What these comments said is no longer shown. Raises Unavailable."""
        async with unavailable():
            await self._notifications.update_many(
                {"comment_id": {"$in": list(comment_ids)}, "preview": {"$ne": ""}}, {"$set": {"preview": ""}}
            )

    async def delete_all(self, user_id: str) -> int:
        """Delete a user's notifications, in batches; how many those were. Raises Unavailable."""
        deleted = 0
        while True:
            async with unavailable():
                found = await self._notifications.find({"user_id": ObjectId(user_id)}, {"_id": 1}).to_list(BATCH)
            if not found:
                return deleted
            await self.delete([document["_id"] for document in found])
            deleted += len(found)

    async def older(self, moment: datetime) -> list[Document]:
        """Some of the notifications made before `moment`: `{_id, user_id, seq}` of each. Raises Unavailable."""
        where = {"_id": {"$lt": ObjectId.from_datetime(moment)}}
        async with unavailable():
            return await self._notifications.find(where, {"user_id": 1, "seq": 1}).to_list(BATCH)

    async def delete(self, ids: Collection[ObjectId]) -> None:
        """Raises Unavailable."""
        async with unavailable():
            await self._notifications.delete_many({"_id": {"$in": list(ids)}})

    async def close(self) -> None:
        await self._append.close()

    async def _numbered(self, user_id: str, seq: dict[str, Any], most: int) -> list[Document]:
        if most <= 0:
            return []
        async with unavailable():
            found = await self._notifications.find({"user_id": ObjectId(user_id), "seq": seq}).to_list(most)
        return sorted(found, key=lambda document: int(document["seq"]))
