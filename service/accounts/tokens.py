"""Tokens: what is in the JWTs that Loa issues, and which ones it takes for its own."""

import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import jwt
from jwt.types import Options
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from service.accounts.models import MAX_TOKEN
from service.common.errors import TokenExpired, TokenInvalid
from service.common.ids import Id

ALGORITHM = "HS256"
HEADER = {"alg": ALGORITHM, "typ": "JWT"}
ISSUER = "loa"
ACCESS = "access_token"
REFRESH = "refresh_token"

CLOCK_SKEW = 5
"""Seconds that the clocks of two of our machines may differ by: a fresh token of one is no forgery to the other."""

SIGNATURE_ONLY: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""The claims are read by `Claims`: to the library 1.5 and "1" are times as well, and no claim is required."""


class Claims(BaseModel, strict=True, extra="forbid", frozen=True):
    """All that our tokens say, and no more: a claim that is not ours could change the meaning of those that are."""

    sub: Id
    sid: Id
    jti: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]{22}$")]
    scope: Literal["access_token", "refresh_token"]
    iat: int = Field(ge=0, lt=2**40)
    exp: int = Field(ge=0, lt=2**40)
    iss: Literal["loa"]


class Issued(NamedTuple):
    """`expires_at` is a Unix time in seconds."""

    text: str
    id: str
    expires_at: int


class Tokens:
    """Issues and decodes. A token lives `ttl[scope]` seconds, never longer: the denylist counts on it."""

    def __init__(self, secret: str, *, access_ttl: int, refresh_ttl: int, also: Sequence[str] = ()) -> None:
        """`secret` signs. What one of `also` has signed is ours as well: the secrets of before, or of soon."""
        self._secret = secret
        self._accepted = (secret, *also)
        self.ttl = {ACCESS: access_ttl, REFRESH: refresh_ttl}

    def issue(self, scope: str, user_id: str, session_id: str) -> Issued:
        issued_at = int(time.time())
        token_id = secrets.token_urlsafe(16)
        expires_at = issued_at + self.ttl[scope]
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

    def decode(self, token: str, scope: str) -> Claims:
        """What `token` says. Raises TokenInvalid for one that is not ours, or not for `scope`; TokenExpired."""
        if len(token) > MAX_TOKEN or not token.isascii():
            raise TokenInvalid
        try:
            decoded = self._verified(token)
            claims = Claims.model_validate(decoded["payload"])
        except (jwt.PyJWTError, ValidationError):
            # No `from`: pydantic's report quotes what it refuses.
            raise TokenInvalid from None
        # A header of ours names no key and no extension (`kid`, `jku`, `crit`), so one that does is not ours.
        now = time.time()
        if decoded["header"] != HEADER or claims.scope != scope or claims.iat > now + CLOCK_SKEW:
            raise TokenInvalid
        if claims.exp <= now:
            raise TokenExpired
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        """Header and payload, once one of the secrets turns out to have signed them. Raises jwt.PyJWTError."""
        for secret in self._accepted[:-1]:
            try:
                return jwt.decode_complete(token, secret, [ALGORITHM], SIGNATURE_ONLY)
            except jwt.InvalidSignatureError:
                continue
        return jwt.decode_complete(token, self._accepted[-1], [ALGORITHM], SIGNATURE_ONLY)
