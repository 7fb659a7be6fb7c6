"""The audit log: what moderators, and the operator's commands, have done."""

from datetime import datetime

from bson import ObjectId
from pymongo import DESCENDING

from service.common.times import now
from service.datastores.mongo import Collection, Database, Document, unavailable
from service.moderation.newest_first import SortKey, newest_first


class AuditLog:
    """`moderation_log`: `{_id, at, by, action, subject, subject_id, place_id, reason, until}`. `by` is None for a
    command.

    An entry is stored before its action, so nothing is done that is not in the log; an action that fails afterwards
    leaves its entry. Nobody removes entries. They name users only by their ids. All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._entries: Collection = database["moderation_log"]

    async def create_indexes(self) -> None:
        await self._entries.create_index([("at", DESCENDING), ("_id", DESCENDING)])

    async def add(
        self,
        by: str | None,
        action: str,
        kind: str,
        subject_id: str,
        *,
        place_id: ObjectId | None = None,
        reason: str = "",
        until: datetime | None = None,
    ) -> None:
        entry: Document = {
            "_id": ObjectId(),
            "at": now(),
            "by": ObjectId(by) if by else None,
            "action": action,
            "subject": kind,
            "subject_id": ObjectId(subject_id),
            "place_id": place_id,
            "reason": reason,
            "until": until,
        }
        async with unavailable():
            await self._entries.insert_one(entry)

    async def page(self, limit: int, before: SortKey | None) -> list[Document]:
        """Return the `limit` latest entries, or those behind the sort key `before`."""
        return await newest_first(self._entries, "at", {}, limit, before)
