"""Request and response models of the server API."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.accounts.models import MAX_NAME, Avatar, DisplayName, ExternalId
from service.attachments.models import WithAttachments
from service.chat.models import Title
from service.common.content import Content, Nonce, check_content, check_name, check_no_nul
from service.common.encoding import dumps
from service.common.models import Input, remove_default
from service.common.profiles import Profile
from service.common.times import Time
from service.notifications.models import BUILT_IN_TYPES, NotificationType
from service.server_api.links import Link

MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 60, 86_400
DEFAULT_TOKEN_SECONDS = 900
MAX_ANNOUNCEMENT = 1000
MAX_RECIPIENTS = 1000
MAX_ADDED = 1000
MAX_REMOVED = 100
"""Participants that one request removes: each is a change of its own, which is announced to the others."""
MAX_EXTRA_BYTES = 2048
MAX_EXTRA_DEPTH = 32
"""Levels of objects and lists within one another. Many programs that read JSON have a limit of their own."""


def _check_not_built_in(type: str) -> str:
    if type in BUILT_IN_TYPES:
        raise ValueError("A built-in type, which only Loa itself sends")
    return type


def _check_extra(extra: dict[str, Any]) -> dict[str, Any]:
    _check_values(extra)
    if len(dumps(extra).encode()) > MAX_EXTRA_BYTES:
        raise ValueError(f"Has more than {MAX_EXTRA_BYTES} bytes")
    return extra


def _check_values(extra: dict[str, Any]) -> None:
    """Check the values level by level. Raises ValueError if there are too many levels, or a number is not finite."""
    level: list[Any] = [extra]
    levels = 0
    while level:
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            # The parser accepts NaN and 1e999, which JSON cannot express.
            raise ValueError("Contains a number that is not finite")
        nested = [value.values() if isinstance(value, dict) else value for value in level if _is_nested(value)]
        levels += bool(nested)
        if levels > MAX_EXTRA_DEPTH:
            raise ValueError(f"Has more than {MAX_EXTRA_DEPTH} levels")
        level = [value for values in nested for value in values]


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


GroupKey = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(check_name)]


class NewNotification(Input):
    """`type` is the site's own: built-in types are refused. Clients show the first 140 characters of `preview`.

    `url` is relative to the page that shows the notification, or http(s). `extra`: any object of at most 2 KB as JSON.
    The same key and `nonce` is the same notification, also for recipients who are added later.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "ORDER_SHIPPED",
                    "to": ["customer-7"],
                    "preview": "Your order is on its way.",
                    "url": "/orders/1204",
                    "extra": {"order": 1204},
                    "nonce": "order-1204-shipped",
                }
            ]
        }
    )

    type: Annotated[NotificationType, AfterValidator(_check_not_built_in)]
    to: Annotated[list[ExternalId], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    sender: ExternalId | None = None
    preview: Content
    url: Link | None = None
    extra: Annotated[dict[str, Any], AfterValidator(_check_extra)] | None = None
    group_key: GroupKey | None = None
    nonce: Nonce | None = None


class Notified(BaseModel):
    """How many users have the notification, and which external ids have no user."""

    accepted: int
    unknown: list[str]


class UserFields(Input):
    """`username` is a wish: people see a similar one if it is taken or impossible. Without it, the username is made of
    the display name, or stays. An `avatar` of null removes the picture; without the field, it stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Trần Thị Hương", "username": "huong"}]})

    display_name: DisplayName
    username: (
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(check_no_nul)] | None
    ) = None
    avatar: Avatar | None = None


class ServerUser(Profile):
    """A user's profile. `external_id` is the site's own id."""

    external_id: str


class Unread(BaseModel):
    messages: int
    notifications: int


class ServerUserState(ServerUser):
    """`last_seen` is null for those who are online or never were. `unread`: what the user has not read yet."""

    online: bool
    last_seen: str | None
    unread: Unread


class NewToken(Input):
    """`expires_in`: seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expires_in": 3600}]})

    expires_in: Annotated[int, Field(ge=MIN_TOKEN_SECONDS, le=MAX_TOKEN_SECONDS)] = DEFAULT_TOKEN_SECONDS


class AccessToken(BaseModel):
    """Loa's own access token for the user. It cannot be refreshed: request another one. `expires_in`: seconds."""

    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int


class Announcement(Input):
    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Back in five minutes: we are updating."}]})

    message: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ANNOUNCEMENT),
        AfterValidator(check_content),
    ]


class Accepted(BaseModel):
    """It is under way."""


class NewServerConversation(Input):
    """The first of the `participants` owns the group. With an `external_id` it is always a group, and may have one
    participant; without, two people and no title are their direct conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"external_id": "order-1204", "participants": ["customer-7", "seller-2"], "title": "Order 1204"}
            ]
        }
    )

    external_id: ExternalId | None = None
    participants: Annotated[list[ExternalId], Field(min_length=1, max_length=MAX_ADDED)]
    title: Title | None = None


class GroupChange(Input):
    """Omitted fields change nothing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"add": ["support-1"], "remove": ["seller-2"]}]})

    title: Title = Field("", json_schema_extra=remove_default)
    add: Annotated[list[ExternalId], Field(max_length=MAX_ADDED)] = Field([], json_schema_extra=remove_default)
    remove: Annotated[list[ExternalId], Field(max_length=MAX_REMOVED)] = Field([], json_schema_extra=remove_default)


class ServerParticipant(BaseModel):
    """`external_id` is null for an account of Loa's own."""

    id: str
    external_id: str | None


class ServerConversation(BaseModel):
    """`participants` has the first 100, in the order of joining. `external_id` is null if the site has given none."""

    id: str
    external_id: str | None
    kind: Literal["direct", "group"]
    title: str | None
    created_at: Time
    participant_count: int
    participants: list[ServerParticipant]


class NewServerMessage(WithAttachments, Input):
    """`sender` is a participant. The same sender, conversation and `nonce` is the same message."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"sender": "seller-2", "content": "It is on its way!", "nonce": "shipped-1204"}]
        }
    )

    sender: ExternalId
    nonce: Nonce | None = None
