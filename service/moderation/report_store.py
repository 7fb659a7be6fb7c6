"""The store of reports."""

from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from service.common.ids import derived_id
from service.common.times import now
from service.datastores.mongo import Collection, Database, Document, unavailable
from service.datastores.update_and_find import update_and_find
from service.moderation.newest_first import SortKey, newest_first


class ReportStore:
    """`reports`: `{_id, reporter_id, subject, subject_id, place_id, author_id, reason, note, snapshot, state,
    created_at, closed_by, closed_at}`.

    `_id` is derived from the reporter and the subject: there is one report for each pair. `subject` is its kind, and
    `place_id` the conversation or post that it is in. All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._reports: Collection = database["reports"]

    async def create_indexes(self) -> None:
        await self._reports.create_index([("state", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)])
        await self._reports.create_index("subject_id")
        # For the deletion of a user.
        for name in ("reporter_id", "author_id"):
            await self._reports.create_index(name)

    async def add(self, reporter_id: str, kind: str, subject_id: str, fields: Document) -> tuple[Document, bool]:
        """Store a report. Returns it and True; the earlier one and False if the reporter has reported the subject."""
        id = derived_id(f"report:{reporter_id}:{kind}:{subject_id}")
        document = {
            "_id": id,
            "reporter_id": ObjectId(reporter_id),
            "subject": kind,
            "subject_id": ObjectId(subject_id),
            **fields,
            "state": "open",
            "created_at": now(),
        }
        async with unavailable():
            try:
                await self._reports.insert_one(document)
            except DuplicateKeyError:
                earlier = await self._reports.find_one({"_id": id})
                if earlier is not None:
                    return earlier, False
        return document, True

    async def find(self, reporter_id: str, kind: str, subject_id: str) -> Document | None:
        """Return the report, or None."""
        async with unavailable():
            found: Document | None = await self._reports.find_one(
                {"_id": derived_id(f"report:{reporter_id}:{kind}:{subject_id}")}
            )
        return found

    async def get(self, report_id: str) -> Document | None:
        """Return the report, or None."""
        async with unavailable():
            found: Document | None = await self._reports.find_one({"_id": ObjectId(report_id)})
        return found

    async def page(self, state: str, limit: int, before: SortKey | None) -> list[Document]:
        """Return the `limit` latest reports in this state, or of those behind the sort key `before`."""
        return await newest_first(self._reports, "created_at", {"state": state}, limit, before)

    async def about(self, kind: str, subject_id: str) -> Document | None:
        """Return a report about this subject, or None."""
        async with unavailable():
            found: Document | None = await self._reports.find_one({"subject_id": ObjectId(subject_id), "subject": kind})
        return found

    async def change_state(self, report_id: str, state: str, moderator_id: str) -> Document | None:
        """Close or reopen a report; return it, or None if there is none."""
        changes: dict[str, Any] = {"state": state, "closed_by": None, "closed_at": None}
        if state != "open":
            changes |= {"closed_by": ObjectId(moderator_id), "closed_at": now()}
        return await update_and_find(self._reports, {"_id": ObjectId(report_id)}, {"$set": changes})

    async def delete_all(self, user_id: str) -> None:
        """Delete the reports by a user who is being deleted, and those about them and what they have written."""
        async with unavailable():
            for name in ("reporter_id", "author_id"):
                await self._reports.delete_many({name: ObjectId(user_id)})
