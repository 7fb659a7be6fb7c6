"""Who is calling: what a verified credential says of its bearer."""

from typing import NamedTuple, Protocol


class Identity(NamedTuple):
    """The bearer of a verified access token or ticket. `expires_at` is a Unix time in seconds."""

    user_id: str
    session_id: str
    token_id: str
    expires_at: float


class Verifier(Protocol):
    """Turns credentials into an Identity, for HTTP, WebSocket and event stream alike."""

    async def verify_scoped_token(self, token: str | None, scope: str) -> Identity:
        """Raises TokenMissing, TokenInvalid, TokenExpired, TokenRevoked; Unavailable where nobody can say."""
        ...

    async def check(self, bearer: Identity) -> None:
        """Whether what was verified before still is good. Raises TokenRevoked; Unavailable where nobody can say."""
        ...

    async def redeem_ticket(self, ticket: str) -> Identity:
        """Spend a single-use ticket. Raises TokenInvalid for one that is unknown, spent or too old."""
        ...
