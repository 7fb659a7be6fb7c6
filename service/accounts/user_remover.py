"""The beginning of a deletion that somebody else completes."""

from service.accounts.revocation import Revocation
from service.accounts.sessions import SessionStore
from service.accounts.users import UserStore


class UserRemover:
    """Begins deletions. Methods raise Unavailable."""

    def __init__(self, users: UserStore, sessions: SessionStore, revocation: Revocation) -> None:
        self._users = users
        self._sessions = sessions
        self._revocation = revocation

    async def remove(self, user_id: str) -> None:
        """Erase the user's profile and end their sessions. PendingDeletions deletes what they have written."""
        await self._users.request_deletion(user_id)
        await self._revocation.announce(await self._sessions.revoke_others(user_id, keep=""))
