"""The tokens of one session: which refresh token may be used, and which access tokens a password change has ended."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from service.accounts.tokens import CLOCK_TOLERANCE
from service.common.errors import RateLimited, TokenRevoked

REUSE_WINDOW = timedelta(seconds=60)
"""How long a used refresh token may be used again: responses get lost, and two tabs may refresh at once."""
MAX_TOKENS = 64
"""Valid access tokens of one session, and unused refresh tokens. A client needs one of each; the session's document
stays below 20 KB."""
MAX_ENDED_TOKENS = 3 * MAX_TOKENS
"""Refresh tokens that password changes have ended: those of the last change, unused and spent, and some before."""
EPOCH = datetime.fromtimestamp(0, UTC)


class RefreshTokenReused(Exception):
    """The token was used before: one of its two users may have stolen it (RFC 9700, section 4.14.2)."""


class AccessToken(NamedTuple):
    """`expires_at` is a Unix time in seconds."""

    id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """A state machine over generations of refresh tokens, each represented by the hash of its id.

    `unused` are the tokens of the newest generation, none of which has been used; the last one is the newest. `spent`
    are those of the generation before. `ended` are those that a password change has ended. What happens if a client
    uses

    - an unused token: a new generation begins, which has one token. The unused tokens become the spent ones.
    - a spent token within REUSE_WINDOW after the newest generation began: the newest generation gets another token. So
      if a response is lost, or tabs refresh at once, each has a pair that works; the first of these to be used begins
      the next generation, and the others become spent with it.
    - a spent token later, or an earlier one: RefreshTokenReused. The caller revokes the session.
    - an ended token: TokenRevoked. The session goes on, for its owner has just changed the password in it.
    """

    unused: tuple[str, ...]
    spent: tuple[str, ...] = ()
    began_at: datetime = EPOCH
    """When the newest generation began."""
    ended: tuple[str, ...] = ()
    access: tuple[AccessToken, ...] = ()
    ended_access: tuple[AccessToken, ...] = ()

    def refresh(self, used: str, fresh: str, access: AccessToken, at: datetime) -> "SessionTokens":
        """Return the state after `used` was exchanged at time `at` for the refresh token `fresh` and `access`.

        Raises RefreshTokenReused, TokenRevoked, or RateLimited beyond MAX_TOKENS.
        """
        if used in self.ended:
            raise TokenRevoked
        if used in self.unused:
            changed = replace(self, unused=(fresh,), spent=self.unused, began_at=at)
        elif used in self.spent and at - self.began_at <= REUSE_WINDOW:
            changed = replace(self, unused=(*self.unused, fresh))
        else:
            raise RefreshTokenReused
        valid = [token for token in self.access if token.expires_at > at.timestamp()]
        if len(valid) >= MAX_TOKENS or len(changed.unused) > MAX_TOKENS:
            raise RateLimited(retry_after=REUSE_WINDOW.total_seconds())
        kept, ended = _without_expired(self.access, at), _without_expired(self.ended_access, at)
        return replace(changed, access=(*kept, access), ended_access=ended)

    def end_all(self, fresh: str, access: AccessToken, at: datetime) -> "SessionTokens":
        """Return the state after a password change at time `at`: only the new pair is valid."""
        return SessionTokens(
            unused=(fresh,),
            ended=(*self.ended, *self.spent, *self.unused)[-MAX_ENDED_TOKENS:],
            access=(access,),
            ended_access=_without_expired((*self.ended_access, *self.access), at),
        )


def _without_expired(tokens: Iterable[AccessToken], at: datetime) -> tuple[AccessToken, ...]:
    """Remove those of `tokens` that have expired on the clock of every process."""
    return tuple(token for token in tokens if token.expires_at > (at - CLOCK_TOLERANCE).timestamp())
