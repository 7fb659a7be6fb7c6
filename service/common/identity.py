"""The authenticated caller, and the interface that verifies credentials."""

from typing import NamedTuple, Protocol

ACCESS = "access_token"
"""The scope of the tokens that authenticate requests and connections."""
MAX_TOKEN = 4096
"""Bytes. Loa's tokens have about 300; a longer one is rejected without decoding it."""


class Identity(NamedTuple):
    """The owner of a verified access token or ticket. `expires_at` is a Unix time in seconds. `roles` are those that a
    token from outside gives its owner."""

    user_id: str
    session_id: str
    token_id: str
    expires_at: float
    roles: tuple[str, ...] = ()


class Verifier(Protocol):
    """Verifies credentials for HTTP, WebSockets and event streams. Unavailable means that the revocation of a token
    could not be checked."""

    async def verify_scoped_token(self, token: str | None, scope: str, user_agent: str = "") -> Identity:
        """Verify a token that must have `scope`. Raises TokenMissing, TokenInvalid, TokenExpired, TokenRevoked,
        Unavailable.

        `user_agent` describes the device, in case the session is new to Loa.
        """
        ...

    async def check(self, bearer: Identity) -> None:
        """Check that a caller verified earlier has not been revoked since. Raises TokenRevoked, Unavailable."""
        ...

    async def redeem_ticket(self, ticket: str) -> Identity:
        """Redeem a single-use ticket. Raises TokenInvalid if it is unknown, used or expired."""
        ...
