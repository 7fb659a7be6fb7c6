"""Verification of credentials: the only place that turns one into an Identity, for HTTP, WebSocket and event stream."""

from service.accounts.external_sessions import ExternalSessions
from service.accounts.revocation import Revocation
from service.accounts.tickets import Tickets
from service.accounts.tokens import Tokens
from service.common.errors import TokenInvalid, TokenMissing
from service.common.identity import ACCESS, Identity


class CredentialVerifier:
    """Implements `service.common.identity.Verifier`."""

    def __init__(
        self, tokens: Tokens, revocation: Revocation, tickets: Tickets, external: ExternalSessions | None = None
    ) -> None:
        """`external`: the sessions of tokens from outside, if they are accepted."""
        self._tokens = tokens
        self._revocation = revocation
        self._tickets = tickets
        self._external = external

    async def verify_scoped_token(self, token: str | None, scope: str, user_agent: str = "") -> Identity:
        if not token:
            raise TokenMissing
        if self._external and self._external.tokens.names_issuer(token):
            if scope != ACCESS:
                raise TokenInvalid
            return await self._external.identify(token, user_agent)
        claims = self._tokens.decode(token, scope)
        bearer = Identity(claims.sub, claims.sid, claims.jti, float(claims.exp))
        if scope == ACCESS:
            await self._revocation.check(bearer)
        else:
            await self._revocation.check_session(bearer)
        return bearer

    async def check(self, bearer: Identity) -> None:
        await self._revocation.check(bearer)

    async def redeem_ticket(self, ticket: str) -> Identity:
        """As the protocol says. Also raises TokenExpired or TokenRevoked for the token that the ticket was issued for,
        and Unavailable."""
        bearer = await self._tickets.redeem(ticket)
        await self.check(bearer)
        return bearer
