"""Accounts: registering, signing in, staying signed in, and ending it."""

from contextlib import suppress
from datetime import UTC, datetime

from service.accounts.models import Login, PasswordChange, Register, SessionView, SignedIn
from service.accounts.passwords import Passwords
from service.accounts.revocation import Revocation
from service.accounts.sessions import SessionStore
from service.accounts.tokens import ACCESS, REFRESH, Issued, Tokens
from service.accounts.users import User, UserStore
from service.common.errors import BadCredentials, NotFound, TokenRevoked, Unavailable
from service.common.identity import Identity
from service.common.ids import new_id
from service.common.profiles import Profile

MAX_SESSIONS = 100
"""Per person. A sign-in beyond it ends the session that was used least recently."""


class AccountService:
    """Every change is in MongoDB before anybody hears of it. All methods raise Unavailable where it cannot be."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        passwords: Passwords,
        tokens: Tokens,
        revocation: Revocation,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._tokens = tokens
        self._revocation = revocation

    async def register(self, new: Register, user_agent: str) -> SignedIn:
        """Raises UsernameTaken."""
        password_hash = await self._passwords.hash(new.password)
        user = await self._users.add(new.username, new.display_name or new.username, password_hash)
        return await self._begin_session(user, user_agent)

    async def login(self, given: Login, user_agent: str) -> SignedIn:
        """Raises BadCredentials, and does not tell whether it was the name or the password."""
        user = await self._users.by_username(given.username)
        known = await self._passwords.verify(user.password_hash if user else None, given.password)
        if user is None or not known:
            raise BadCredentials
        answer = await self._begin_session(user, user_agent)
        if self._passwords.outdated(user.password_hash):
            # It can wait until the next sign-in; this one has succeeded.
            with suppress(Unavailable):
                await self._users.rehash(user, await self._passwords.hash(given.password))
        return answer

    async def refresh(self, refresh_token: str) -> SignedIn:
        """A new pair for a refresh token, which is spent by it. Raises TokenInvalid, TokenExpired, TokenRevoked."""
        spent = self._tokens.decode(refresh_token, REFRESH)
        user = await self._users.get(spent.sub)
        if user is None:
            raise TokenRevoked
        access, fresh = self._pair(user.id, spent.sid)
        if not await self._sessions.rotate(spent.sid, user.id, spent.jti, fresh.id, _end(access, fresh)):
            # Shown a second time: two hold it, and one of them has stolen it. Which one cannot be told, so both go.
            await self._end_session(spent.sid, user.id)
            raise TokenRevoked
        return self._answer(user.profile, access, fresh)

    async def logout(self, caller: Identity) -> None:
        await self._end_session(caller.session_id, caller.user_id, caller.token_id)

    async def change_password(self, caller: Identity, change: PasswordChange) -> None:
        """Raises BadCredentials. Every other session of the caller ends."""
        user = await self._users.get(caller.user_id)
        known = await self._passwords.verify(user.password_hash if user else None, change.current_password)
        if user is None or not known:
            raise BadCredentials("The current password is wrong.")
        password_hash = await self._passwords.hash(change.new_password)
        # Before, so that a failure in between leaves nobody signed in who should not be; and after, for those who
        # signed in with the old password in between.
        await self._end_others(caller)
        changed = await self._users.change_password(user, password_hash)
        await self._end_others(caller)
        if not changed:
            raise BadCredentials("The current password is wrong.")

    async def sessions(self, caller: Identity) -> list[SessionView]:
        """The caller's devices, last used first."""
        return [
            SessionView(
                id=session.id,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                user_agent=session.user_agent,
                current=session.id == caller.session_id,
            )
            for session in await self._sessions.of_user(caller.user_id, MAX_SESSIONS)
        ]

    async def end_session(self, caller: Identity, session_id: str) -> None:
        """Raises NotFound for what is not a live session of the caller's."""
        if not await self._end_session(session_id, caller.user_id):
            raise NotFound

    async def _begin_session(self, user: User, user_agent: str) -> SignedIn:
        session_id = new_id()
        access, refresh = self._pair(user.id, session_id)
        await self._sessions.add(session_id, user.id, refresh.id, _end(access, refresh), user_agent)
        # A change of the password ends the sessions that it finds; one that began too late to be found looks itself.
        latest = await self._users.get(user.id)
        if latest is None or latest.password_version != user.password_version:
            await self._end_session(session_id, user.id)
            raise BadCredentials
        await self._revocation.announce(await self._sessions.revoke_excess(user.id, MAX_SESSIONS))
        return self._answer(latest.profile, access, refresh)

    async def _end_session(self, session_id: str, user_id: str, *token_ids: str) -> bool:
        ended = await self._sessions.revoke(session_id, user_id)
        if ended:
            await self._revocation.announce([session_id], *token_ids)
        return ended

    async def _end_others(self, caller: Identity) -> None:
        await self._revocation.announce(await self._sessions.revoke_others(caller.user_id, caller.session_id))

    def _pair(self, user_id: str, session_id: str) -> tuple[Issued, Issued]:
        return (
            self._tokens.issue(ACCESS, user_id, session_id),
            self._tokens.issue(REFRESH, user_id, session_id),
        )

    def _answer(self, user: Profile, access: Issued, refresh: Issued) -> SignedIn:
        return SignedIn(
            user=user,
            access_token=access.text,
            refresh_token=refresh.text,
            expires_in=self._tokens.ttl[ACCESS],
        )


def _end(*tokens: Issued) -> datetime:
    """When nothing of a session is left that could open anything."""
    return datetime.fromtimestamp(max(token.expires_at for token in tokens), UTC)
