"""What goes into accounts and comes out of them."""

import unicodedata
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, HttpUrl, StringConstraints, TypeAdapter

from service.common.models import Input, Query
from service.common.profiles import Profile
from service.common.times import Time

MAX_PASSWORD = 128
"""Characters. Hashing has to read them all, so somebody has to say when it is enough."""
MAX_NAME = 64
MAX_URL = 2048
MAX_TOKEN = 4096
"""Bytes. Ours have about 300; what is longer is not worth decoding."""

BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reorder the text around a name, so that it can pass for another. The joiners of emoji are let through."""

_HTTP_URL = TypeAdapter(HttpUrl)


def _fold_username(value: object) -> object:
    """Only ASCII is folded: the case folding of Unicode would turn letters that are refused into ones that are not."""
    return value.lower() if isinstance(value, str) and value.isascii() else value


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("It holds a NUL character")
    return value


def _displayable(value: str) -> str:
    categories = [unicodedata.category(character) for character in value]
    if not BIDI_CONTROLS.isdisjoint(value) or not {"Cc", "Zl", "Zp"}.isdisjoint(categories):
        raise ValueError("It holds control characters")
    if all(category[0] in "CMZ" for category in categories):
        raise ValueError("It holds nothing that can be seen")
    return value


def _web_address(value: str) -> str:
    """`value` as it is, where a browser would fetch it over HTTP and read the same host in it as we do."""
    if any(character.isspace() or not character.isprintable() or character in '"<>\\^`{|}' for character in value):
        raise ValueError("It holds characters that no URL has")
    try:
        parts = urlsplit(value)
        _HTTP_URL.validate_python(value)
    except ValueError:
        raise ValueError("It is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("It is not an http:// or https:// URL")
    if "@" in parts.netloc:
        raise ValueError("It names a user, which whoever sees it would sign in as")
    return value


def _without_default(schema: dict[str, Any]) -> None:
    """What is left out has no value, whatever the model's field says."""
    del schema["default"]


Username = Annotated[
    str, StringConstraints(min_length=3, max_length=32, pattern="^[a-z0-9_.]+$"), BeforeValidator(_fold_username)
]
NewPassword = Annotated[str, StringConstraints(min_length=8, max_length=MAX_PASSWORD), AfterValidator(_without_nul)]
DisplayName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(_displayable)
]
Avatar = Annotated[str, StringConstraints(max_length=MAX_URL), AfterValidator(_web_address)]

# What is only compared need not be well formed: a name that nobody can have gets the answer of one that nobody has.
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


class ProfileChange(Input):
    """What is left out stays as it is; an `avatar` of null takes the picture away."""

    display_name: DisplayName = Field("", json_schema_extra=_without_default)
    avatar: Avatar | None = None


class UserSearch(Query):
    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]
    limit: Annotated[int, Field(ge=1, le=50)] = 20


class SignedIn(BaseModel):
    """A pair of tokens. `expires_in`: seconds until the access token does."""

    user: Profile
    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int


class SessionView(BaseModel):
    """One of a person's devices. `last_used_at` moves when it refreshes its tokens; `current`: it is the asking one."""

    id: str
    created_at: Time
    last_used_at: Time
    user_agent: str
    current: bool


class Sessions(BaseModel):
    items: list[SessionView]
    next: None = None


class UsersFound(BaseModel):
    items: list[Profile]
    next: None = None


class Ticket(BaseModel):
    """Good once as `?ticket=`, for `expires_in` seconds."""

    ticket: str = Field(repr=False)
    expires_in: int
