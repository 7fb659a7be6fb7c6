"""Request and response models of accounts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from service.common.avatars import avatar_url, uploaded_id
from service.common.content import check_name, check_no_nul
from service.common.cursor import Cursor as PageCursor
from service.common.identity import MAX_TOKEN
from service.common.models import Input, Query, remove_default
from service.common.profiles import Profile
from service.common.public_url import check_public_url
from service.common.times import Time

MAX_PASSWORD = 128
"""Characters. Hashing reads the whole password, so its length must be bounded."""
MIN_USERNAME, MAX_USERNAME = 3, 32
MAX_NAME = 64
MAX_EXTERNAL_ID = 255
MAX_URL = 2048

DELETED_PREFIX = "deleted_"
"""Begins the username of a deleted user. Nobody can register such a name."""


def _fold_username(value: object) -> object:
    """Fold ASCII only: Unicode case folding turns some letters that are not allowed into allowed ones."""
    return value.lower() if isinstance(value, str) and value.isascii() else value


def _check_not_reserved(username: str) -> str:
    if username.startswith(DELETED_PREFIX):
        raise ValueError("Names of deleted users begin like this")
    return username


Username = Annotated[
    str,
    StringConstraints(min_length=MIN_USERNAME, max_length=MAX_USERNAME, pattern="^[a-z0-9_.]+$"),
    BeforeValidator(_fold_username),
    AfterValidator(_check_not_reserved),
]
NewPassword = Annotated[str, StringConstraints(min_length=8, max_length=MAX_PASSWORD), AfterValidator(check_no_nul)]
DisplayName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(check_name)
]
ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXTERNAL_ID), AfterValidator(check_no_nul)]
"""Who somebody is at the site that Loa stands beside: the `sub` of its tokens."""


def _check_own_avatar(url: str) -> str:
    attachment_id = uploaded_id(url)
    return avatar_url(attachment_id) if attachment_id else check_public_url(url)


Avatar = Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(check_public_url)]
OwnAvatar = Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(_check_own_avatar)]
"""The URL of an image that the user has uploaded, too."""

Cursor = Annotated[str, StringConstraints(max_length=MAX_NAME, pattern="^[a-z0-9_.]+$")]
"""A username. It does not have to exist any more."""

# Signing in only compares: an impossible username is answered like one that nobody has taken.
AnyUsername = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), BeforeValidator(_fold_username)]
AnyPassword = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]


class Register(Input):
    username: Username
    password: NewPassword = Field(repr=False)
    display_name: DisplayName | None = None


class Login(Input):
    username: AnyUsername
    password: AnyPassword = Field(repr=False)


class Refresh(Input):
    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN)] = Field(repr=False)


class PasswordChange(Input):
    current_password: AnyPassword = Field(repr=False)
    new_password: NewPassword = Field(repr=False)


class PasswordReset(Input):
    """`token`: of the link that the operator has made."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN)] = Field(repr=False)
    new_password: NewPassword = Field(repr=False)


class SessionEnd(Input):
    """`password`: the caller's; see `DELETE /auth/sessions/{id}` for when it is needed."""

    password: AnyPassword | None = Field(None, repr=False)


class AccountEnd(Input):
    """`password`: the caller's. A user of the site beside has none."""

    password: AnyPassword | None = Field(None, repr=False)


class ProfileChange(Input):
    """Omitted fields are not changed. `avatar`: an https URL on a public host, or the `url` of an image that the caller
    has uploaded as an attachment and not used before; null removes the picture."""

    display_name: DisplayName = Field("", json_schema_extra=remove_default)
    avatar: OwnAvatar | None = None
    show_presence: bool = Field(True, json_schema_extra=remove_default)


class OwnProfile(Profile):
    """The caller's own profile. `show_presence`: those who share a conversation see when they are or were online.
    `roles`: what the operator, or the token's issuer, has made them, for example `moderator`."""

    show_presence: bool
    roles: list[str] = Field(examples=[["moderator"]])


class UserSearch(Query):
    """`before`: a cursor, the `next` of the previous page."""

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]
    limit: Annotated[int, Field(ge=1, le=50)] = 20
    before: Cursor | None = None


class SignedIn(BaseModel):
    """A pair of tokens. `expires_in`: seconds until the access token expires."""

    user: Profile
    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int


class SessionView(BaseModel):
    """A session, one per sign-in. `last_used_at` is set by each token refresh. `current`: it made this request."""

    id: str
    created_at: Time
    last_used_at: Time
    user_agent: str
    current: bool


class Sessions(BaseModel):
    items: list[SessionView]
    next: None = None


class UsersFound(BaseModel):
    """Ordered by username. `next` is the `before` of the next page, null on the last page."""

    items: list[Profile]
    next: str | None


class BlockQuery(Query):
    """`before`: a cursor, the `next` of the previous page."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    before: PageCursor | None = None


class BlockedUser(BaseModel):
    """A user whom the caller blocks, since `created_at`."""

    user: Profile
    created_at: Time


class BlockPage(BaseModel):
    """The latest first. `next` is the `before` of the next page, null on the last page."""

    items: list[BlockedUser]
    next: str | None


class Ticket(BaseModel):
    """Can be used once as `?ticket=`, within `expires_in` seconds."""

    ticket: str = Field(repr=False)
    expires_in: int
