"""The beginning of a deletion that somebody else completes."""

from service.accounts.external_ids import ExternalIdStore
from service.accounts.revocation import Revocation
from service.accounts.sessions import SessionStore
from service.accounts.users import User, UserStore


class UserRemover:
    """Begins deletions. Methods raise Unavailable."""

    def __init__(
        self, users: UserStore, external_ids: ExternalIdStore, sessions: SessionStore, revocation: Revocation
    ) -> None:
        self._users = users
        self._external_ids = external_ids
        self._sessions = sessions
        self._revocation = revocation

    async def remove(self, user: User) -> None:
        """Erase the user's profile and end their tokens, also those from outside. PendingUserChanges deletes what they
        have written."""
        await self._users.request_deletion(user.id)
        # Before the sessions are revoked: a token that begins one meanwhile finds that it is no longer this user's.
        if user.external_id is not None:
            await self._external_ids.unbind(user.external_id, user.id)
        await self._revocation.announce(user.id, await self._sessions.revoke_others(user.id, keep=""))
