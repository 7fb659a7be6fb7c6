"""Tokens of the site that Loa stands beside: their verification, which keys and claims it needs."""

import hashlib
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jwt
from jwt.types import Options
from pydantic import AfterValidator, BaseModel, Field, StringConstraints, ValidationError

from service.accounts.compact_jws import is_compact
from service.accounts.external_users import ExternalProfile
from service.accounts.key_source import KeySource
from service.accounts.models import MAX_NAME, MAX_URL, ExternalId
from service.accounts.tokens import CLOCK_SKEW
from service.common.content import check_no_nul
from service.common.errors import TokenExpired, TokenInvalid
from service.common.identity import MAX_TOKEN
from service.common.public_url import check_public_url
from service.common.text import safe_name

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Of access tokens (RFC 9068, section 2.1). Other types, such as those of logout tokens, are for other purposes."""
REFUSED_PARAMETERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "zip", "enc"})
"""Header parameters that name a key of the token's own, or that change what the token means (RFC 7515, section 4.1)."""
MAX_KID = 256
MAX_ROLES, MAX_ROLE = 32, 64
MAX_TIME = 253_370_764_800
"""The year 9999: later times have no date. A time in milliseconds is later."""
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


Time = Annotated[float, Field(ge=0, lt=MAX_TIME, allow_inf_nan=False)]
SessionName = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(check_no_nul)]


class Claims(BaseModel, strict=True, extra="ignore", frozen=True):
    """The claims that Loa reads. Those that describe a person or their roles may be anything: what cannot be used is
    ignored, for nobody should be locked out by their name."""

    iss: str
    sub: ExternalId
    exp: Time
    iat: Time | None = None
    nbf: Time | None = None
    aud: str | list[str] | None = None
    sid: SessionName | None = None
    name: Any = None
    preferred_username: Any = None
    picture: Any = None
    roles: Any = None


class ExternalToken(NamedTuple):
    """A verified token. Times are Unix times in seconds; `issued_at` is 0 if the token does not say it. `id` is a
    digest of the token; `digests` are those of the claims from which the fields of a profile come."""

    external_id: str
    session: str | None
    id: str
    issued_at: float
    expires_at: float
    claims: Claims
    digests: Mapping[str, str]
    roles: tuple[str, ...]

    @property
    def profile(self) -> ExternalProfile:
        """What can be used of the claims about the person (OpenID Connect Core 1.0, section 5.1).

        A missing claim changes nothing; a `picture` that is empty or cannot be shown removes the avatar. Computed when
        it is asked for: most tokens say what the one before said.
        """
        profile = ExternalProfile()
        name, username, picture = self.claims.name, self.claims.preferred_username, self.claims.picture
        if isinstance(username, str) and username:
            profile["username"] = username
        if isinstance(name, str) and (safe := safe_name(name, MAX_NAME)):
            profile["display_name"] = safe
        if isinstance(picture, str):
            profile["avatar"] = _avatar(picture)
        return profile


class ExternalTokens:
    """Verifies tokens of one issuer. The kind of a key decides the algorithms that it verifies."""

    def __init__(
        self, issuer: str, keys: KeySource, *, audience: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        """`audience`: what a token's `aud` has to name; empty: it is not read. `clock`: Unix time in seconds."""
        self._issuer = issuer
        self._keys = keys
        self._audience = audience
        self._clock = clock

    async def start(self) -> None:
        await self._keys.start()

    async def close(self) -> None:
        await self._keys.close()

    def names_issuer(self, token: str) -> bool:
        """Return whether `token` says that it is this issuer's. Nothing of it is verified."""
        if len(token) > MAX_TOKEN or not is_compact(token):
            return False
        return _json_part(token, 1).get("iss") == self._issuer

    async def decode(self, token: str) -> ExternalToken:
        """Verify `token` and return what it says. Raises TokenInvalid, TokenExpired, Unavailable."""
        if len(token) > MAX_TOKEN or not is_compact(token):
            raise TokenInvalid
        algorithm, kid = _checked_header(_json_part(token, 0))
        keys = [key.key for key in await self._keys.keys(kid) if algorithm in key.algorithms]
        payload = _verified_payload(token, keys, algorithm)
        try:
            claims = Claims.model_validate(payload)
        except ValidationError:
            # No `from`: pydantic's error message quotes the rejected value.
            raise TokenInvalid("The token lacks a claim, or has an invalid one.") from None
        self._check(claims)
        return _external_token(token, claims)

    def _check(self, claims: Claims) -> None:
        now = self._clock()
        if claims.iss != self._issuer:
            raise TokenInvalid
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        if self._audience and self._audience not in audiences:
            raise TokenInvalid("The token is meant for another service.")
        if max(claims.iat or 0, claims.nbf or 0) > now + CLOCK_SKEW:
            raise TokenInvalid("The token is not valid yet.")
        if claims.exp <= now:
            raise TokenExpired


def _json_part(token: str, index: int) -> dict[str, Any]:
    """Return header (0) or payload (1) of a compact token; empty if it is not a JSON object."""
    part = token.split(".")[index]
    try:
        value = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _checked_header(header: dict[str, Any]) -> tuple[str, str | None]:
    """Return `alg` and `kid`. Raises TokenInvalid."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or REFUSED_PARAMETERS & header.keys():
        raise TokenInvalid
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise TokenInvalid("The token is of another type.")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID and kid.isprintable()):
        raise TokenInvalid
    return algorithm, kid


def _verified_payload(token: str, keys: list[Any], algorithm: str) -> dict[str, Any]:
    """Return the payload if one of `keys` has signed the token. Raises TokenInvalid."""
    for key in keys:
        try:
            payload: dict[str, Any] = jwt.decode_complete(token, key, [algorithm], SIGNATURE_ONLY)["payload"]
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError:
            break
        return payload
    raise TokenInvalid


def _external_token(token: str, claims: Claims) -> ExternalToken:
    described = {"username": claims.preferred_username, "display_name": claims.name, "avatar": claims.picture}
    return ExternalToken(
        external_id=claims.sub,
        session=claims.sid,
        id=_digest(token),
        issued_at=claims.iat or 0,
        expires_at=claims.exp,
        claims=claims,
        digests={field: _digest(json.dumps(value)) for field, value in described.items()},
        roles=_roles(claims.roles),
    )


def _avatar(url: str) -> str | None:
    try:
        return check_public_url(url) if len(url) <= MAX_URL else None
    except ValueError:
        return None


def _roles(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else []
    return tuple(name for name in names[:MAX_ROLES] if isinstance(name, str) and 0 < len(name) <= MAX_ROLE)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
