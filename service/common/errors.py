"""Domain errors. `service/http/errors.py` maps each to an HTTP status, an error code and a WebSocket close code.

LoaError
├── MalformedJson
├── TokenError ─ TokenMissing, TokenInvalid, TokenExpired, TokenRevoked
├── BadCredentials
├── OriginNotAllowed
├── Forbidden          the caller may see the object, but not do this
├── Banned             the user may not sign in, with `until`
├── Blocked            one of the two users of a direct conversation blocks the other
├── NotFound           the object does not exist, or the caller may not see it
├── UsernameTaken
├── NonceReused
├── TooLarge
├── ValidationFailed   with `fields`
├── RateLimited        with `retry_after`
└── Unavailable        with `retry_after`
"""

import math
from datetime import datetime
from typing import NamedTuple


class FieldError(NamedTuple):
    """A problem with one field. `field` is its path, such as `a.b.0`."""

    field: str
    message: str


class LoaError(Exception):
    """Base class. `detail` is a sentence for a person; `retry_after` is in seconds, or None if retrying cannot help."""

    detail = "The request failed."

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail
        self.retry_after = retry_after
        self.ref: str | None = None
        """The `ref` of the WebSocket frame that caused the error, if known."""


class MalformedJson(LoaError):
    detail = "The body is not valid JSON."


class TokenError(LoaError):
    """The caller could not be authenticated."""


class TokenMissing(TokenError):
    detail = "Authentication required: the request has no token."


class TokenInvalid(TokenError):
    detail = "The token is invalid."


class TokenExpired(TokenError):
    detail = "The token has expired."


class TokenRevoked(TokenError):
    detail = "The token has been revoked."


class KeyInvalid(LoaError):
    """A request to the server API has no key, or another one than the deployment's."""

    detail = "The API key is missing or invalid."


class BadCredentials(LoaError):
    detail = "Wrong username or password."


class OriginNotAllowed(LoaError):
    detail = "This origin is not allowed to connect."


class Forbidden(LoaError):
    detail = "You are not allowed to do this."


class Banned(LoaError):
    """A moderator has banned the user, for ever if `until` is None."""

    detail = "This account is banned."

    def __init__(self, until: datetime | None = None) -> None:
        super().__init__()
        self.until = until


class Blocked(LoaError):
    """It does not say who blocks whom."""

    detail = "You cannot send messages in this conversation."


class NotFound(LoaError):
    detail = "Not found."


class UsernameTaken(LoaError):
    detail = "This username is already taken."


class NonceReused(LoaError):
    detail = "This nonce was already used with other content."


class TooLarge(LoaError):
    detail = "The request is too large."


class ValidationFailed(LoaError):
    """Input does not match its model. `fields` lists the problems."""

    detail = "Validation failed."

    def __init__(self, fields: list[FieldError], detail: str | None = None) -> None:
        super().__init__(detail)
        self.fields = fields

    @classmethod
    def of(cls, field: str, message: str) -> "ValidationFailed":
        return cls([FieldError(field, message)])


class RateLimited(LoaError):
    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0) -> None:
        detail = detail or f"Too many requests; try again in {whole_seconds(retry_after)} s."
        super().__init__(detail, retry_after=retry_after)


class Unavailable(LoaError):
    detail = "The service is temporarily unavailable."

    def __init__(self, detail: str | None = None, *, retry_after: float = 2.0) -> None:
        super().__init__(detail, retry_after=retry_after)


def whole_seconds(seconds: float) -> int:
    """Round up: Retry-After is in whole seconds (RFC 9110, 10.2.3), and a client must not come back too early."""
    return max(1, math.ceil(seconds))
