"""Reports: made by users, read and closed by moderators; and the audit log."""

from collections.abc import Iterable
from datetime import datetime

from bson import ObjectId

from service.attachments.links import AttachmentLinks
from service.attachments.models import Attachment
from service.common.cursor import CursorFormat
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.mongo import Document
from service.moderation.audit_log import AuditLog
from service.moderation.models import Log, LogEntry, NewReport, Report, Reported, ReportPage, Snapshot, Subject
from service.moderation.report_store import ReportStore
from service.moderation.subjects import Subjects

REPORT_CURSORS = CursorFormat("reports", datetime, ObjectId)
LOG_CURSORS = CursorFormat("moderation log", datetime, ObjectId)
CLOSING = {"resolved": "resolve", "dismissed": "dismiss", "open": "reopen"}
"""The action in the log, by the new state of a report."""


class ReportService:
    """The caller of all but `report` has to be a moderator. All methods raise Unavailable."""

    def __init__(
        self, reports: ReportStore, log: AuditLog, subjects: Subjects, profiles: Profiles, links: AttachmentLinks
    ) -> None:
        self._reports = reports
        self._log = log
        self._subjects = subjects
        self._profiles = profiles
        self._links = links

    async def report(self, reporter: str, new: NewReport) -> tuple[Reported, bool]:
        """Store a report with a snapshot of its subject. Return it and True; if the reporter has reported the subject
        before, the earlier report and False. Raises NotFound (the reporter does not see the subject), ValidationFailed
        (their own)."""
        kind, id = new.subject.kind, new.subject.id
        document = await self._reports.find(reporter, kind, id)
        created = False
        if document is None:
            found = await self._subjects.find(reporter, kind, id)
            if str(found.author_id) == reporter:
                raise ValidationFailed.of("subject.id", "Nobody reports themselves.")
            fields: Document = {
                "place_id": found.place_id,
                "author_id": found.author_id,
                "reason": new.reason,
                "note": new.note,
                "snapshot": found.snapshot,
            }
            document, created = await self._reports.add(reporter, kind, id, fields)
        reported = Reported(id=str(document["_id"]), state=document["state"], created_at=document["created_at"])
        return reported, created

    async def page(self, state: str, limit: int, before: str | None) -> ReportPage:
        """Return a page of the reports in this state, the latest first. Raises ValidationFailed (`before`)."""
        key = REPORT_CURSORS.parse(before) if before is not None else None
        rows = await self._reports.page(state, limit + 1, (key[0], key[1]) if key else None)
        items = await self._shown(rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        return ReportPage(items=items, next=REPORT_CURSORS.encode((last["created_at"], last["_id"])) if last else None)

    async def change_state(self, moderator: str, report_id: str, state: str) -> Report:
        """Close or reopen a report. Idempotent. Raises NotFound."""
        document = await self._reports.get(report_id)
        if document is None:
            raise NotFound
        if document["state"] != state:
            kind, id, place = document["subject"], str(document["subject_id"]), document["place_id"]
            await self._log.add(moderator, CLOSING[state], kind, id, place_id=place)
            document = await self._reports.change_state(report_id, state, moderator)
            if document is None:
                raise NotFound
        return (await self._shown([document]))[0]

    async def log(self, limit: int, before: str | None) -> Log:
        """Return a page of the audit log, the latest entry first. Raises ValidationFailed (`before`)."""
        key = LOG_CURSORS.parse(before) if before is not None else None
        rows = await self._log.page(limit + 1, (key[0], key[1]) if key else None)
        profiles = await self._profiles_of(row["by"] for row in rows[:limit])
        items = [
            LogEntry(
                id=str(row["_id"]),
                at=row["at"],
                by=profile_of(str(row["by"]), profiles) if row["by"] else None,
                action=row["action"],
                subject=_subject(row),
                reason=row["reason"],
                until=row["until"],
            )
            for row in rows[:limit]
        ]
        last = rows[limit - 1] if len(rows) > limit else None
        return Log(items=items, next=LOG_CURSORS.encode((last["at"], last["_id"])) if last else None)

    async def _shown(self, rows: list[Document]) -> list[Report]:
        ids = (row.get(name) for row in rows for name in ("reporter_id", "author_id", "closed_by"))
        profiles = await self._profiles_of(ids)
        return [
            Report(
                id=str(row["_id"]),
                reporter=profile_of(str(row["reporter_id"]), profiles),
                subject=_subject(row),
                author=profile_of(str(row["author_id"]), profiles),
                reason=row["reason"],
                note=row["note"],
                snapshot=self._snapshot(row["snapshot"]),
                state=row["state"],
                created_at=row["created_at"],
                closed_by=profile_of(str(row["closed_by"]), profiles) if row.get("closed_by") else None,
                closed_at=row.get("closed_at"),
            )
            for row in rows
        ]

    def _snapshot(self, stored: Document) -> Snapshot:
        return Snapshot(
            content=stored.get("content", ""),
            attachments=[Attachment(**each) for each in self._links.list_of(stored.get("attachments", ()))],
            created_at=stored.get("created_at"),
            profile=Profile(**stored["profile"]) if "profile" in stored else None,
        )

    async def _profiles_of(self, ids: Iterable[ObjectId | None]) -> dict[str, Profile]:
        wanted = {str(id) for id in ids if id}
        return await self._profiles.profiles(wanted) if wanted else {}


def _subject(row: Document) -> Subject:
    place = str(row["place_id"]) if row.get("place_id") else None
    kind = row["subject"]
    return Subject(
        kind=kind,
        id=str(row["subject_id"]),
        conversation_id=place if kind == "message" else None,
        post_id=place if kind == "comment" else None,
    )
