"""Request and response models of reports and moderation."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from service.attachments.models import Attachment
from service.common.content import check_no_nul
from service.common.cursor import Cursor
from service.common.ids import Id
from service.common.models import Input, Query
from service.common.profiles import Profile
from service.common.times import InputTime, Time

MAX_NOTE = 1000
MAX_REASON = 500

Kind = Literal["user", "message", "post", "comment"]
Reason = Literal["spam", "abuse", "other"]
State = Literal["open", "resolved", "dismissed"]
Action = Literal["grant", "revoke", "resolve", "dismiss", "reopen", "delete", "ban", "unban"]

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NOTE), AfterValidator(check_no_nul)]
BanReason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_REASON), AfterValidator(check_no_nul)
]


class ReportedSubject(Input):
    kind: Kind = Field(examples=["message"])
    id: Id


class NewReport(Input):
    subject: ReportedSubject = Field(examples=[{"kind": "message", "id": "6650b0d7e8f90a1b2c3d4e20"}])
    reason: Reason = Field(examples=["spam"])
    note: Note = Field("", examples=["Sends this to everyone."])


class Reported(BaseModel):
    """The report of the caller. `state`: whether a moderator has closed it."""

    id: str
    state: State
    created_at: Time


class Subject(BaseModel):
    """What was reported. `conversation_id` of a message, `post_id` of a comment: where it is."""

    kind: Kind = Field(examples=["message"])
    id: str
    conversation_id: str | None
    post_id: str | None


class Snapshot(BaseModel):
    """What was reported, as it was then: it may have been edited or deleted since. `content` is empty for a user, whose
    profile is `profile`. The URLs of `attachments` read the files for an hour, until these are deleted with what they
    belong to."""

    content: str
    attachments: list[Attachment]
    created_at: Time | None
    profile: Profile | None


class Report(BaseModel):
    """A report. `author`: whom it is about. `closed_by` has closed it, at `closed_at`."""

    id: str
    reporter: Profile
    subject: Subject
    author: Profile
    reason: Reason = Field(examples=["spam"])
    note: str = Field(examples=["Sends this to everyone."])
    snapshot: Snapshot
    state: State
    created_at: Time
    closed_by: Profile | None
    closed_at: Time | None = Field(examples=[None])


class ReportPage(BaseModel):
    """The latest first. `next` is the `before` of the next page, null on the last page."""

    items: list[Report]
    next: str | None


class ReportQuery(Query):
    """`before`: a cursor, the `next` of the previous page."""

    state: State = "open"
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    before: Cursor | None = None


class ReportChange(Input):
    """`state`: `open` opens it again."""

    state: State = Field(examples=["resolved"])


class NewBan(Input):
    """`until`: null for ever. `reason`: for the log; the user does not see it."""

    until: InputTime | None
    reason: BanReason = Field(examples=["Spam, again"])


class Ban(BaseModel):
    """The user cannot sign in until then; null: for ever."""

    user_id: str
    until: Time | None


class BanQuery(Query):
    """`before`: a cursor, the `next` of the previous page."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    before: Cursor | None = None


class BannedUser(BaseModel):
    """A ban that is in force. `until`: null for ever. `by`: null if that is not known any more."""

    user: Profile
    until: Time | None
    at: Time
    by: Profile | None
    reason: str = Field(examples=["Spam, again"])


class BanPage(BaseModel):
    """The latest first. `next` is the `before` of the next page, null on the last page."""

    items: list[BannedUser]
    next: str | None


class LogQuery(Query):
    """`before`: a cursor, the `next` of the previous page."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    before: Cursor | None = None


class LogEntry(BaseModel):
    """What a moderator has done. `by`: null for the operator's commands. `until`: of a ban, null for ever."""

    id: str
    at: Time
    by: Profile | None
    action: Action = Field(examples=["ban"])
    subject: Subject
    reason: str = Field(examples=["Spam, again"])
    until: Time | None


class Log(BaseModel):
    """The latest first. `next` is the `before` of the next page, null on the last page."""

    items: list[LogEntry]
    next: str | None
