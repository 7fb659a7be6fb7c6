"""The store of notifications: a numbered list per user."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from service.common.encoding import dumps
from service.common.text import cut
from service.common.times import now
from service.datastores.find_by_ids import CONCURRENT_READS, IDS_PER_READ, in_lists
from service.datastores.mongo import Database, Document, committed_reads, unavailable
from service.datastores.numbered_ranges import descending
from service.datastores.sequenced_log import PAGE, Above, Appended, SequencedLog
from service.notifications.inbox_store import InboxStore
from service.notifications.models import (
    DeletedSubject,
    NotificationRequest,
    PostRequest,
    post_key,
    reaction_key,
)

PREVIEW_LENGTH = 140
"""Characters of the content that are stored as the preview, at most: it is cut between two graphemes."""
BATCH_SIZE = 500
"""Documents per delete."""
IDENTITIES = ("comment_id", "key")
"""A user gets one notification with the same value of one of these fields."""
REACTED_COMMENT = "reacted_comment_id"
"""The comment that a reaction is to. Not `comment_id`: its author gets one notification for each sender."""
NOT_DELETED = {"deleted": None}
OLD_INDEX = "comment_id_1_user_id_1"
"""Made by earlier versions. It takes all notifications without a comment for the same one."""


class NotificationStore:
    """`notifications`: `{user_id, seq, type, sender_id, preview, created_at, edited_at?, deleted?}`, and either
    `post_id` and those of `comment_id`, `reacted_comment_id`, `emoji` and `key` that are not null, or those of `url`,
    `extra` (JSON text: its keys may be any), `group_key` and `key`. `edited_at`: when the text that `preview` shows
    was edited.

    One whose subject has been deleted keeps its number, without a preview and with `deleted`: the numbers stay without
    holes, and storing it again finds it. Methods leave those out, unless they say otherwise.

    Old notifications are deleted after they have been marked as read in `inboxes`, which keeps the last number.
    """

    def __init__(self, database: Database, inboxes: InboxStore, on_batch: Callable[[int], None] | None = None) -> None:
        """`on_batch`: see SequencedLog."""
        self._notifications = database["notifications"]
        self._committed = committed_reads(self._notifications)
        self._append = SequencedLog(
            self._notifications,
            scope="user_id",
            number="seq",
            identity=_identity,
            hints=inboxes.hints,
            on_batch=on_batch,
        )

    async def create_indexes(self) -> None:
        await self._notifications.create_index([("user_id", 1), ("seq", 1)], unique=True)
        # One notification per user and comment, however often it is dispatched; and per user and key.
        for name in IDENTITIES:
            partial = {name: {"$exists": True}}
            await self._notifications.create_index(
                [("user_id", 1), (name, 1)], unique=True, partialFilterExpression=partial
            )
        if OLD_INDEX in await self._notifications.index_information():
            await self._notifications.drop_index(OLD_INDEX)

    def append(self, request: NotificationRequest) -> asyncio.Future[Appended]:
        """Store a notification with the user's next number, or find the earlier one with the same identity.

        Raises Unavailable, at once or from the future.
        """
        return self._append.append({**_document(request), "created_at": now()})

    def is_same(self, request: NotificationRequest, document: Document) -> bool:
        """Return whether `document`, found as the earlier one, has the content of `request`."""
        if isinstance(request, PostRequest):
            # A comment may have been edited since, and be answered with another reaction.
            return True
        own = {name: document[name] for name in document.keys() - {"_id", "user_id", "seq", "created_at"}}
        return own == _content(request)

    async def last_seq(self, user_id: str, floor: int) -> int:
        """Return the user's last number, given that it is at least `floor`. Raises Unavailable."""
        return await self._append.last_number(ObjectId(user_id), floor)

    async def last_seqs(self, floors: Mapping[str, int]) -> dict[str, int]:
        """Like `last_seq`, for each of these users. Raises Unavailable."""
        read = await self._append.last_numbers({ObjectId(user_id): floor for user_id, floor in floors.items()})
        return {str(user): seq for user, seq in read.items()}

    async def above(
        self, wanted: Iterable[tuple[str, int, int]], limit: int
    ) -> dict[tuple[str, int, int], list[Document]]:
        """Return, for each `(user_id, seq, floor)`, the user's notifications above the number `seq`, deleted ones too,
        ascending, given that there are some up to `floor`; more than `limit` of them need not be all. Raises
        Unavailable."""
        places = [Above(ObjectId(user_id), seq, floor) for user_id, seq, floor in wanted]
        read = await self._append.above_each(places, limit)
        return {(str(above.scope), above.number, above.floor): found for above, found in read.items()}

    async def between(self, user_id: str, first: int, last: int) -> list[Document]:
        """Return the notifications numbered `first` to `last`, deleted ones too, ascending. Raises Unavailable."""
        return await self._numbered(user_id, {"$gte": first, "$lte": last}, last - first + 1)

    async def deleted_between(self, user_id: str, first: int, last: int) -> list[Document]:
        """Return the deleted ones of the notifications numbered `first` to `last`, ascending. Raises Unavailable."""
        return await self._numbered(user_id, {"$gte": first, "$lte": last}, last - first + 1, {"deleted": True})

    async def newest(self, user_id: str, below: int, limit: int) -> list[Document]:
        """Return the `limit` notifications with the highest numbers below `below`, descending. Raises Unavailable."""

        async def read(low: int, high: int, limit: int) -> list[Document]:
            return await self._numbered(user_id, {"$gte": low, "$lte": high}, limit, NOT_DELETED)

        return await descending(read, "seq", below, limit)

    async def latest(self, user_id: str, floor: int, limit: int) -> list[Document]:
        """Return the `limit` latest notifications, descending, given that the last number is at least `floor`; in one
        read, if it is little more. Raises Unavailable."""
        low, high = max(1, floor - limit + 1), floor + PAGE
        found = await self._numbered(user_id, {"$gte": low, "$lte": high}, high - low + 1, committed=True)
        if found and found[-1]["seq"] == high:
            return await self.newest(user_id, await self.last_seq(user_id, high) + 1, limit)
        latest = [document for document in reversed(found) if not document.get("deleted")][:limit]
        return latest + await self.newest(user_id, low, limit - len(latest))

    async def numbered(self, user_id: str, seqs: Collection[int]) -> list[Document]:
        """Return the notifications with these numbers, ascending. Raises Unavailable."""
        return await self._numbered(user_id, {"$in": list(seqs)}, len(seqs), NOT_DELETED)

    async def one(self, user_id: str, notification_id: str) -> Document | None:
        """Return the user's notification with this id, or None. Raises Unavailable."""
        async with unavailable():
            document: Document | None = await self._notifications.find_one(
                {"_id": ObjectId(notification_id), "user_id": ObjectId(user_id), **NOT_DELETED}
            )
        return document

    async def about(self, user_id: ObjectId, subjects: Sequence[DeletedSubject]) -> list[Document]:
        """Return the user's notifications about these posts and comments, deleted ones too. Raises Unavailable."""
        selections: list[Document] = [
            {"key": {"$gte": reaction_key(each.id, ""), "$lt": reaction_key(each.id, "~")}}
            for each in subjects
            if each.author_id == user_id
        ]
        comment_ids = [each.comment_id for each in subjects if each.comment_id]
        for first in range(0, len(comment_ids), IDS_PER_READ):
            selections.append({"comment_id": {"$in": comment_ids[first : first + IDS_PER_READ]}})
        if keys := [post_key(each.post_id) for each in subjects if not each.comment_id]:
            selections.append({"key": {"$in": keys}})
        found: list[Document] = []
        for first in range(0, len(selections), CONCURRENT_READS):
            part = selections[first : first + CONCURRENT_READS]
            async with unavailable():
                reads = [self._notifications.find({"user_id": user_id, **each}).to_list(None) for each in part]
                found += [document for documents in await asyncio.gather(*reads) for document in documents]
        return found

    async def mark_deleted(self, notifications: Collection[Document]) -> None:
        """Erase what these notifications, at least one, say, and mark them as deleted. Raises Unavailable."""
        places = [(document["user_id"], document["_id"]) for document in notifications]
        change = {"$set": {"deleted": True, "preview": ""}}
        async with unavailable():
            for first in range(0, len(places), IDS_PER_READ):
                await self._notifications.update_many(in_lists("user_id", places[first : first + IDS_PER_READ]), change)

    async def update_preview(self, document: Document, request: NotificationRequest) -> None:
        """Let `document`, found as the earlier notification, show the text of `request` if that was edited since.
        Raises Unavailable."""
        if isinstance(request, PostRequest) and request.edited_at is not None:
            shown = document.get("edited_at")
            if shown is None or shown < request.edited_at:
                await self.set_preview([document], cut(request.content, PREVIEW_LENGTH), request.edited_at)

    async def set_preview(self, notifications: Collection[Document], preview: str, edited_at: datetime) -> None:
        """Replace the preview of these notifications, at least one, by that of a text that was edited at this time,
        unless they are deleted, or show that of a later edit. Raises Unavailable."""
        places = [(document["user_id"], document["_id"]) for document in notifications]
        earlier = {"edited_at": {"$not": {"$gte": edited_at}}}
        async with unavailable():
            for first in range(0, len(places), IDS_PER_READ):
                where = in_lists("user_id", places[first : first + IDS_PER_READ]) | NOT_DELETED | earlier
                await self._notifications.update_many(where, {"$set": {"preview": preview, "edited_at": edited_at}})

    async def delete_all(self, user_id: str) -> int:
        """Delete all notifications of a user, in batches. Returns their number. Raises Unavailable."""
        deleted = 0
        while True:
            async with unavailable():
                found = await self._notifications.find({"user_id": ObjectId(user_id)}, {"user_id": 1}).to_list(
                    BATCH_SIZE
                )
            if not found:
                return deleted
            await self.delete(found)
            deleted += len(found)

    async def older_than(self, moment: datetime) -> list[Document]:
        """Return `_id`, `user_id`, `seq` of up to BATCH_SIZE notifications made before `moment`. Raises Unavailable."""
        where = {"_id": {"$lt": ObjectId.from_datetime(moment)}}
        async with unavailable():
            return await self._notifications.find(where, {"user_id": 1, "seq": 1}).to_list(BATCH_SIZE)

    async def delete(self, notifications: Collection[Document]) -> None:
        """Delete these notifications, at least one, of which `_id` and `user_id` are needed. Raises Unavailable."""
        places = [(document["user_id"], document["_id"]) for document in notifications]
        async with unavailable():
            await self._notifications.delete_many(in_lists("user_id", places))

    async def close(self) -> None:
        await self._append.close()

    async def _numbered(
        self,
        user_id: str,
        seq: dict[str, Any],
        limit: int,
        where: Document | None = None,
        *,
        committed: bool = False,
    ) -> list[Document]:
        if limit <= 0:
            return []
        selection = {"user_id": ObjectId(user_id), "seq": seq, **(where or {})}
        collection = self._committed if committed else self._notifications
        async with unavailable():
            found = await collection.find(selection).limit(limit).to_list(limit)
        return sorted(found, key=lambda document: int(document["seq"]))


def _identity(document: Document) -> Document | None:
    for name in IDENTITIES:
        if name in document:
            return {"user_id": document["user_id"], name: document[name]}
    return None


def _document(request: NotificationRequest) -> Document:
    return {"user_id": ObjectId(request.user_id), **_content(request)}


def _content(request: NotificationRequest) -> Document:
    """Return what is stored of `request` beside its user, number and time."""
    content: Document = {
        "type": request.type,
        "sender_id": ObjectId(request.sender.id) if request.sender else None,
        "preview": cut(request.content, PREVIEW_LENGTH),
    }
    if isinstance(request, PostRequest):
        comment_id = ObjectId(request.comment_id) if request.comment_id else None
        optional = {
            "post_id": ObjectId(request.post_id),
            REACTED_COMMENT if request.emoji else "comment_id": comment_id,
            "emoji": request.emoji,
            "key": request.key,
            "edited_at": request.edited_at,
        }
        return content | {name: value for name, value in optional.items() if value is not None}
    optional = {
        "url": request.url,
        "extra": None if request.extra is None else dumps(request.extra),
        "group_key": request.group_key,
        "key": request.key,
    }
    return content | {name: value for name, value in optional.items() if value is not None}
