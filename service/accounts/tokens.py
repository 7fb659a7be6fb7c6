"""Tokens: the claims of the JWTs that Loa issues, and the validation of those it receives."""

import base64
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import jwt
from jwt.types import Options
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from config.settings import ISSUER
from service.common.errors import TokenExpired, TokenInvalid
from service.common.identity import ACCESS, MAX_TOKEN
from service.common.ids import Id

ALGORITHM = "HS256"
HEADER = {"alg": ALGORITHM, "typ": "JWT"}
REFRESH = "refresh_token"

CLOCK_SKEW = 5
"""Seconds that the clocks of two servers may differ by before one refuses the fresh tokens of the other."""

CLOCK_TOLERANCE = timedelta(hours=1)
"""Allowed clock difference between two processes. A process whose clock is behind accepts a token that much longer than
the process that issued it or revoked its session, so a denylist entry outlives the token by this."""

SIGNATURE_ONLY: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""PyJWT verifies only the signature; `Claims` validates the claims. PyJWT accepts 1.5 and "1" as times, and requires no
claim."""


class Claims(BaseModel, strict=True, extra="forbid", frozen=True):
    """The claims of a token: exactly these. An additional claim could change the meaning of the others."""

    sub: Id
    sid: Id
    jti: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]{22}$")]
    scope: Literal["access_token", "refresh_token"]
    iat: int = Field(ge=0, lt=2**40)
    exp: int = Field(ge=0, lt=2**40)
    iss: Literal["loa"]


class Issued(NamedTuple):
    """An issued token. `id` is its `jti`; `expires_at` is a Unix time in seconds."""

    text: str
    id: str
    expires_at: int


class TokenPair(NamedTuple):
    """An access token and a refresh token of one session."""

    access: Issued
    refresh: Issued

    @property
    def expires_at(self) -> datetime:
        """When the last of the two expires, and with it the session."""
        return datetime.fromtimestamp(max(token.expires_at for token in self), UTC)


class Tokens:
    """Issues and decodes tokens. No access token lives longer than the settings' `max_access_ttl`: the denylist relies
    on it."""

    def __init__(
        self,
        secret: str,
        *,
        access_ttl: int,
        refresh_ttl: int,
        other_secrets: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret` signs. Tokens signed with one of `other_secrets`, previous or future ones, are accepted too.

        `clock` returns the Unix time in seconds.
        """
        self._secret = secret
        self._accepted = (secret, *other_secrets)
        self._clock = clock
        self.ttl = {ACCESS: access_ttl, REFRESH: refresh_ttl}

    def issue(self, scope: str, user_id: str, session_id: str, ttl: int | None = None) -> Issued:
        """`ttl`: seconds, at most the `max_access_ttl` of the settings; None: the usual time for the scope."""
        issued_at = int(self._clock())
        token_id = secrets.token_urlsafe(16)
        expires_at = issued_at + (self.ttl[scope] if ttl is None else ttl)
        claims = {
            "sub": user_id,
            "sid": session_id,
            "jti": token_id,
            "scope": scope,
            "iat": issued_at,
            "exp": expires_at,
            "iss": ISSUER,
        }
        return Issued(jwt.encode(claims, self._secret, ALGORITHM), token_id, expires_at)

    def issue_pair(self, user_id: str, session_id: str) -> TokenPair:
        return TokenPair(self.issue(ACCESS, user_id, session_id), self.issue(REFRESH, user_id, session_id))

    def decode(self, token: str, scope: str, *, expired_since: int = 0) -> Claims:
        """Validate `token` and return its claims.

        Raises TokenInvalid if Loa did not issue it for `scope`, TokenExpired if it expired more than `expired_since`
        seconds ago.
        """
        if len(token) > MAX_TOKEN or not is_compact(token):
            raise TokenInvalid
        try:
            decoded = self._verify_signature(token)
            claims = Claims.model_validate(decoded["payload"])
        except (jwt.PyJWTError, ValidationError):
            # No `from`: pydantic's error message quotes the rejected value.
            raise TokenInvalid from None
        # Loa's headers name no key and no extension (`kid`, `jku`, `crit`), so a token whose header does is forged.
        now = self._clock()
        if decoded["header"] != HEADER or claims.scope != scope or claims.iat > now + CLOCK_SKEW:
            raise TokenInvalid
        if claims.exp + expired_since <= now:
            raise TokenExpired
        return claims

    def _verify_signature(self, token: str) -> dict[str, Any]:
        """Return header and payload if one of the accepted secrets signed `token`. Raises jwt.PyJWTError otherwise."""
        for secret in self._accepted[:-1]:
            try:
                return jwt.decode_complete(token, secret, [ALGORITHM], SIGNATURE_ONLY)
            except jwt.InvalidSignatureError:
                continue
        return jwt.decode_complete(token, self._accepted[-1], [ALGORITHM], SIGNATURE_ONLY)


def is_compact(token: str) -> bool:
    """Return whether `token` is a JWS in compact serialisation, whose three parts are base64url without padding (RFC
    7515, 3.1 and section 2).

    PyJWT also accepts padding, and any value of the bits beyond the last byte: a token would have several spellings.
    """
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        return False
    try:
        return all(_is_base64url(part) for part in parts)
    except ValueError:
        # An impossible length.
        return False


def _is_base64url(text: str) -> bool:
    """Return whether `text` is exactly what base64url makes of some bytes. Raises ValueError."""
    padded = text + "=" * (-len(text) % 4)
    return "=" not in text and base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)) == padded.encode()
