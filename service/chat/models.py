"""The request and response models of the chat."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel, StringConstraints

from service.attachments.models import Attachment, WithAttachments
from service.chat.members import History, Role
from service.common.content import Nonce, OptionalContent, check_name
from service.common.cursor import Cursor
from service.common.ids import Id
from service.common.models import Input, Query, remove_default
from service.common.profiles import Profile
from service.common.times import InputTime

MAX_PARTICIPANTS = 10_000
"""Of one conversation."""
MAX_ADDED = 2000
"""Users added to a conversation by one request: it has 64 KB at most."""
MAX_PAGE = 100
MAX_CHANGES = 500

Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(check_name)
]
Seq = Annotated[int, Field(ge=1, le=2**53)]
Rev = Annotated[int, Field(ge=0, le=2**53)]


class NewConversation(Input):
    """`history`: whether users who join later see earlier messages."""

    participant_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_ADDED)]
    title: Title | None = None
    history: History = "since_joined"


class ConversationChange(Input):
    """Omitted fields are not changed. `history` concerns users who join from then on."""

    title: Title = Field("", json_schema_extra=remove_default)
    history: History = Field("since_joined", json_schema_extra=remove_default)


class NewParticipants(Input):
    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_ADDED)]


class RoleChange(Input):
    role: Role


class NewMessage(WithAttachments, Input):
    nonce: Nonce | None = None
    reply_to: Id | None = None


class MessageChange(Input):
    """`content` may be empty if the message has attachments, which stay."""

    content: OptionalContent


class ReadMark(Input):
    seq: Seq


class Mute(Input):
    """`until`: null until it is unmuted."""

    until: InputTime | None = None


class ConversationsQuery(Query):
    """`before`: the `next` of the previous page of the same list. `archived`: 1 lists the archived conversations, the
    latest archived first."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 30
    before: Cursor | None = None
    archived: bool = False


class ParticipantsQuery(Query):
    """`after`: the `next` of the previous page."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    after: Cursor | None = None


class MessagesQuery(Query):
    """Either a page of history `before` a seq, or the changes `after_rev`."""

    before: Seq | None = None
    after_rev: Rev | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_CHANGES)] | None = None


class PresenceQuery(Query):
    user_ids: Annotated[str, StringConstraints(min_length=24, max_length=25 * 200)]


class MessageEvent(BaseModel):
    """What has happened in a group: `by` has added, removed or given a `role` to `user_ids`, has joined or left, or has
    set the `title`. Of more than 100 `user_ids`, these are the first; `user_count` counts all."""

    by: str
    user_ids: list[str] = Field(default_factory=list)
    user_count: int = 0
    title: str | None = None
    role: Role | None = None


class Message(BaseModel):
    """A message. A deleted one has empty `content`, no attachments and no reactions. One of another `kind` than `text`
    says how a group has changed: its `content` is empty, and `event` says the rest. It is never unread, and nobody
    changes it.

    `reactions` has up to 100 user ids for each emoji: in answers to one user, theirs among them if they reacted.
    `reaction_counts` counts all. `mentions` has the ids of the participants whom the content names by `@username`, and
    of all by `@all` where they are at most 100.
    """

    id: str
    kind: Literal["text", "joined", "left", "removed", "renamed", "role"]
    conversation_id: str
    seq: int
    rev: int
    sender_id: str
    content: str
    nonce: str | None
    reply_to: str | None
    attachments: list[Attachment]
    event: MessageEvent | None
    mentions: list[str]
    created_at: str
    edited_at: str | None
    deleted: bool
    reactions: dict[str, list[str]]
    reaction_counts: dict[str, int]


class Conversation(BaseModel):
    """A conversation as one participant sees it. `participant_ids` has the first 100 participants, in the order of
    joining, and `participants` the profiles of the first 5; the others are paged. `role` is the participant's own.
    `history` says whether those who join later see earlier messages; null in a direct conversation. `last_message` is
    null for those who do not see it.

    `unread_count` counts the messages of others after `last_read_seq` that have not been deleted; `mention_count` those
    of them, among the last 1,000, that mention the participant and are not of somebody whom they block. `read_marks`
    has the `last_read_seq` of each other participant, or is null if they are more than 100.

    `muted_until` and `archived` are what the participant has set; `muted_until` is null if it is not muted, or not any
    more, and in the year 9999 if it is muted for good.
    """

    id: str
    kind: Literal["direct", "group"]
    title: str | None
    participant_count: int
    participant_ids: list[str]
    participants: list[Profile]
    owner_id: str
    role: Role
    history: History | None
    created_at: str
    last_activity_at: str
    last_message: Message | None
    last_seq: int
    last_rev: int
    last_read_seq: int
    unread_count: int
    mention_count: int
    read_marks: dict[str, int] | None
    muted_until: str | None
    archived: bool


class ConversationPage(BaseModel):
    """`next` is the `before` of the next page, null on the last page. Long conversations come in pages of fewer than
    `limit`. A conversation that becomes active between two pages moves to the front of the list."""

    items: list[Conversation]
    next: str | None


class Participant(BaseModel):
    user: Profile
    role: Role
    joined_at: str
    last_read_seq: int


class ParticipantPage(BaseModel):
    """In the order of joining. `next` is the `after` of the next page, null on the last page."""

    items: list[Participant]
    next: str | None


class NewInvitation(BaseModel):
    """`token` is shown once; the server keeps only its hash."""

    token: str = Field(repr=False)
    expires_at: str


class Invitation(BaseModel):
    """What an invitation is to. `conversation_id` is null unless the user is a participant already."""

    conversation_id: str | None
    title: str | None
    participant_count: int
    inviter: Profile
    expires_at: str


class MessagePage(BaseModel):
    """`next` is the `before` or `after_rev` of the next page, or null if there is none. Long messages come in pages of
    fewer than `limit`."""

    items: list[Message]
    next: int | None


class ReadState(BaseModel):
    conversation_id: str
    last_read_seq: int
    unread_count: int


class PastAnnouncement(BaseModel):
    message: str
    created_at: str


class LastAnnouncement(BaseModel):
    """`announcement`: the operator's last one, of the last three days and since the user registered; null: none."""

    announcement: PastAnnouncement | None


class PresenceState(BaseModel):
    online: bool
    last_seen: str | None


class PresenceStates(RootModel[dict[str, PresenceState]]):
    """Presence states by user id."""
