"""Tokens: the claims of the JWTs that Loa issues, and the validation of those it receives."""

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import jwt
from pydantic import BaseModel, Field, StringConstraints

from config.settings import ISSUER
from service.common.errors import TokenExpired, TokenInvalid
from service.common.identity import ACCESS, MAX_TOKEN
from service.common.ids import Id

ALGORITHM = "HS256"
HEADERS = (b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", b"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9")
"""`{"alg":"HS256","typ":"JWT"}` as base64url without padding (RFC 7515, 3.1), which is the header of Loa's tokens, and
the same in the other order, as some libraries write it. A token with another header is forged: Loa's name no key and no
extension (`kid`, `jku`, `crit`)."""
REFRESH = "refresh_token"

CLOCK_SKEW = 5
"""Seconds that the clocks of two servers may differ by before one refuses the fresh tokens of the other."""

CLOCK_TOLERANCE = timedelta(hours=1)
"""Allowed clock difference between two processes. A process whose clock is behind accepts a token that much longer than
the process that issued it or revoked its session, so a denylist entry outlives the token by this."""


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
        self._algorithm = jwt.get_algorithm_by_name(ALGORITHM)
        self._keys = [self._algorithm.prepare_key(each) for each in (secret, *other_secrets)]
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
        claims = self._verified_claims(token)
        now = self._clock()
        if claims.scope != scope or claims.iat > now + CLOCK_SKEW:
            raise TokenInvalid
        if claims.exp + expired_since <= now:
            raise TokenExpired
        return claims

    def _verified_claims(self, token: str) -> Claims:
        """Return the claims of `token` if one of the accepted secrets has signed it. Raises TokenInvalid.

        A token has one spelling: the signature covers the text of header and payload, and its own text is compared.
        PyJWT would take eight times as long, and accept several spellings.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise TokenInvalid
        signed, _, signature = token.encode().rpartition(b".")
        header, _, payload = signed.partition(b".")
        if header not in HEADERS:
            raise TokenInvalid
        if not any(hmac.compare_digest(signature, self._signature(signed, key)) for key in self._keys):
            raise TokenInvalid
        try:
            return Claims.model_validate_json(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except ValueError:
            # No `from`: pydantic's error message quotes the rejected value.
            raise TokenInvalid from None

    def _signature(self, signed: bytes, key: bytes) -> bytes:
        """Return the encoded signature of header and payload (RFC 7518, 3.2)."""
        return base64.urlsafe_b64encode(self._algorithm.sign(signed, key)).rstrip(b"=")
