"""What can go wrong, in the domain's own words; `service/http/errors.py` says what a client sees of it.

LoaError
├── MalformedJson
├── TokenError ─ TokenMissing, TokenInvalid, TokenExpired, TokenRevoked
├── BadCredentials
├── OriginNotAllowed
├── Forbidden          you may see it, but not do this
├── NotFound           it is not there, or not for you to see
├── UsernameTaken
├── NonceReused
├── TooLarge
├── ValidationFailed   with `fields`
├── RateLimited        with `retry_after`
└── Unavailable        with `retry_after`
"""

from typing import NamedTuple


class FieldError(NamedTuple):
    """One thing wrong with one field; `field` is its path, `a.b.0`."""

    field: str
    message: str


class LoaError(Exception):
    """Base of all. `detail` is for a person; `retry_after` is in seconds where trying again can help."""

    detail = "Something went wrong."

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail
        self.retry_after = retry_after
        self.ref: str | None = None
        """What the client called the frame that met this, where it came in one."""


class MalformedJson(LoaError):
    detail = "The body is not valid JSON."


class TokenError(LoaError):
    """The caller could not be told from a stranger."""


class TokenMissing(TokenError):
    detail = "Sign in first: no token came with the request."


class TokenInvalid(TokenError):
    detail = "The token is not valid."


class TokenExpired(TokenError):
    detail = "The token has expired."


class TokenRevoked(TokenError):
    detail = "The token has been revoked."


class BadCredentials(LoaError):
    detail = "The username or the password is wrong."


class OriginNotAllowed(LoaError):
    detail = "This origin may not connect."


class Forbidden(LoaError):
    detail = "You may not do this."


class NotFound(LoaError):
    detail = "There is no such thing."


class UsernameTaken(LoaError):
    detail = "That username is taken."


class NonceReused(LoaError):
    detail = "That nonce was used before, for other content."


class TooLarge(LoaError):
    detail = "That is too large."


class ValidationFailed(LoaError):
    """Input that breaks a rule of its model, field by field."""

    detail = "Some fields are not as they should be."

    def __init__(self, fields: list[FieldError], detail: str | None = None) -> None:
        super().__init__(detail)
        self.fields = fields

    @classmethod
    def of(cls, field: str, message: str) -> "ValidationFailed":
        return cls([FieldError(field, message)])


class RateLimited(LoaError):
    detail = "Too much, too fast."

    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(detail, retry_after=retry_after)


class Unavailable(LoaError):
    detail = "The service cannot do this just now."

    def __init__(self, detail: str | None = None, *, retry_after: float = 2.0) -> None:
        super().__init__(detail, retry_after=retry_after)
