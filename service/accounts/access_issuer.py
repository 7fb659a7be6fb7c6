"""Access tokens that the servers of a site request for its people."""

from service.accounts.revocation import Revocation
from service.accounts.service import MAX_SESSIONS
from service.accounts.sessions import SessionStore
from service.accounts.tokens import Issued, TokenPair, Tokens
from service.accounts.users import UserStore
from service.common.errors import Banned, NotFound
from service.common.identity import ACCESS
from service.common.ids import new_id


class AccessIssuer:
    """Begins sessions that have one access token and cannot be refreshed. Methods raise Unavailable."""

    def __init__(self, users: UserStore, sessions: SessionStore, tokens: Tokens, revocation: Revocation) -> None:
        self._users = users
        self._sessions = sessions
        self._tokens = tokens
        self._revocation = revocation

    async def issue(self, user_id: str, seconds: int, user_agent: str) -> Issued:
        """Return a token that is valid for so many seconds, unless its session, which it has for itself, is revoked.

        `user_agent` names the session in the user's list. Raises Banned, and NotFound, also if the user is being
        deleted.
        """
        session_id = new_id()
        access = self._tokens.issue(ACCESS, user_id, session_id, seconds)
        # The id of a refresh token that nobody has.
        await self._sessions.add(session_id, user_id, TokenPair(access, Issued("", new_id(), 0)), user_agent)
        # A deletion or ban that has begun meanwhile may have looked for sessions before.
        user = await self._users.get(user_id)
        try:
            if user is None or user.is_deleted:
                raise NotFound
            user.check_ban()
        except (NotFound, Banned):
            await self._sessions.revoke(session_id, user_id)
            await self._revocation.announce(user_id, [session_id])
            raise
        await self._revocation.announce(user_id, await self._sessions.revoke_excess(user_id, MAX_SESSIONS))
        return access
