"""Accounts: registration, sign-in, token refresh, passwords and sessions."""

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from service.accounts.models import Login, PasswordChange, PasswordReset, Register, SessionView, SignedIn
from service.accounts.passwords import Passwords, WeakPassword
from service.accounts.reset_links import ResetToken
from service.accounts.revocation import Revocation
from service.accounts.session_tokens import RefreshTokenReused
from service.accounts.sessions import SessionStore
from service.accounts.tokens import REFRESH, TokenPair, Tokens
from service.accounts.users import User, UserStore
from service.common.errors import (
    BadCredentials,
    Banned,
    Forbidden,
    NotFound,
    RateLimited,
    TokenError,
    TokenInvalid,
    TokenRevoked,
    Unavailable,
    ValidationFailed,
)
from service.common.identity import ACCESS, Identity
from service.common.ids import new_id
from service.common.profiles import Profile
from service.common.times import now

DEVICE_MEMORY = 30 * 24 * 3600
"""Seconds for which an expired token identifies a device."""
LINK_INVALID = "The link has been used, or has expired."
RECENT_SIGN_IN = timedelta(minutes=15)
"""How long after a sign-in other sessions can be ended without the password."""
MAX_SESSIONS = 100
"""Per user. A sign-in beyond the limit revokes the least recently used session."""


class AccountService:
    """Stores every change before it announces it. All methods raise Unavailable if MongoDB is unavailable."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        passwords: Passwords,
        tokens: Tokens,
        revocation: Revocation,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._tokens = tokens
        self._revocation = revocation
        self._clock = clock

    async def register(self, new: Register, user_agent: str, address: str = "") -> SignedIn:
        """Create a user and sign in. Raises UsernameTaken, or ValidationFailed (`password`) for a common password."""
        caller = ("register", address)
        password_hash = await self._hash_new("password", new.password, new.username, caller)
        user = await self._users.add(new.username, new.display_name or new.username, password_hash)
        return await self._begin_session(user, user_agent)

    async def login(self, given: Login, user_agent: str, source: str = "") -> SignedIn:
        """Sign in. Raises Banned, and BadCredentials, which does not reveal whether the username or the password was
        wrong.

        `source`: the address or the device whose turn it is to have a password hashed.
        """
        caller = ("login", source)
        user = await self._users.by_username(given.username)
        matches = await self._passwords.verify(user.password_hash if user else None, given.password, caller)
        if user is None or not matches:
            raise BadCredentials
        user.check_ban()
        signed_in = await self._begin_session(user, user_agent)
        if self._passwords.outdated(user.password_hash):
            # If it fails, the next sign-in does it: this one has succeeded.
            with suppress(Unavailable, RateLimited):
                await self._users.rehash(user, await self._passwords.hash(given.password, caller))
        return signed_in

    async def session_of(self, token: str | None, username: str) -> str | None:
        """Return the session of an access or refresh token of this user, or None.

        The token may have been revoked, or have expired within DEVICE_MEMORY: it only tells that this device has been
        signed in.
        """
        for scope in (ACCESS, REFRESH) if token else ():
            with suppress(TokenError):
                claims = self._tokens.decode(token or "", scope, expired_since=DEVICE_MEMORY)
                user = await self._users.get(claims.sub)
                return claims.sid if user and user.profile.username == username else None
        return None

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Exchange a refresh token for a new pair of tokens. See SessionTokens for when it can be used again.

        Raises TokenInvalid, TokenExpired, TokenRevoked, RateLimited, Banned.
        """
        used = self._tokens.decode(refresh_token, REFRESH)
        user = await self._users.get(used.sub)
        if user is None:
            raise TokenRevoked
        # The sessions of a banned user are revoked; but this says why, and until when.
        user.check_ban()
        await self._make_searchable(user)
        pair = self._tokens.issue_pair(user.id, used.sid)
        try:
            await self._sessions.refresh(used.sid, user.id, used.jti, pair)
        except RefreshTokenReused:
            await self._revoke_session(used.sid, user.id)
            raise TokenRevoked from None
        return self._signed_in(user.profile, pair)

    async def logout(self, caller: Identity) -> None:
        await self._revoke_session(caller.session_id, caller.user_id, caller.token_id)

    async def change_password(
        self, caller: Identity, change: PasswordChange, user_agent: str = "", address: str = ""
    ) -> SignedIn:
        """Change the password, revoke every other session of the caller, and replace the tokens of this one.

        Connections of this session stay open. Raises BadCredentials, or ValidationFailed (`new_password`) for a common
        password.
        """
        user = await self._users.get(caller.user_id)
        queue = ("password", address)
        matches = await self._passwords.verify(user.password_hash if user else None, change.current_password, queue)
        if user is None or not matches:
            raise BadCredentials("The current password is wrong.")
        password_hash = await self._hash_new("new_password", change.new_password, user.profile.username, queue)
        # Before the change: a failure in between then leaves no other session active. And after it: a concurrent
        # sign-in with the old password may have begun one.
        await self._revoke_sessions(user, keep=caller.session_id)
        if not await self._users.change_password(user, password_hash):
            raise BadCredentials("The current password is wrong.")
        await self._revoke_sessions(user, keep=caller.session_id)
        changed = replace(user, password_version=user.password_version + 1)
        pair = self._tokens.issue_pair(user.id, caller.session_id)
        try:
            ended = await self._sessions.end_tokens(caller.session_id, user.id, pair, changed.password_version)
        except TokenRevoked:
            # A concurrent password change, which has failed, has revoked this session as one of the others.
            return await self._begin_session(changed, user_agent)
        # The caller's own: a session of an earlier version does not know its access tokens.
        await self._revocation.announce_tokens({caller.token_id, *ended})
        return self._signed_in(user.profile, pair)

    async def reset_password(self, reset: PasswordReset, user_agent: str = "", address: str = "") -> SignedIn:
        """Choose a new password with the token of a link, revoke all sessions of the user, and sign in.

        Raises TokenInvalid if the token is unknown, has been used or has expired, Banned, or ValidationFailed
        (`new_password`) for a common password.
        """
        token = ResetToken.parse(reset.token)
        user = await self._users.get(token.user_id) if token else None
        if not (user and token and user.reset_link and user.reset_link.admits(token, self._clock())):
            raise TokenInvalid(LINK_INVALID)
        user.check_ban()
        queue = ("password", address)
        password_hash = await self._hash_new("new_password", reset.new_password, user.profile.username, queue)
        # Twice, for the reasons that `change_password` gives.
        await self._revoke_sessions(user)
        if not await self._users.change_password(user, password_hash):
            raise TokenInvalid(LINK_INVALID)
        await self._revoke_sessions(user)
        return await self._begin_session(replace(user, password_version=user.password_version + 1), user_agent)

    async def sessions(self, caller: Identity) -> list[SessionView]:
        """Return the caller's active sessions, the most recently used first."""
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

    async def end_session(
        self, caller: Identity, session_id: str, password: str | None = None, address: str = ""
    ) -> None:
        """Revoke a session of the caller. Raises NotFound if it is not an active session of theirs.

        Who has taken over a session must not be able to end the owner's others (OWASP ASVS 5, 7.5.2): unless the caller
        has signed in within RECENT_SIGN_IN, another session needs the password. Raises Forbidden without one, and
        BadCredentials if it is wrong.
        """
        if session_id != caller.session_id:
            await self._reauthenticate(caller, password, address)
        if not await self._revoke_session(session_id, caller.user_id):
            raise NotFound

    async def _reauthenticate(self, caller: Identity, password: str | None, address: str) -> None:
        if password is not None:
            user = await self._users.get(caller.user_id)
            queue = ("password", address)
            if not await self._passwords.verify(user.password_hash if user else None, password, queue):
                raise BadCredentials("The password is wrong.")
            return
        signed_in_at = await self._sessions.signed_in_at(caller.session_id, caller.user_id)
        if signed_in_at and self._clock() - signed_in_at > RECENT_SIGN_IN:
            raise Forbidden("You signed in a while ago. Confirm this with your password.")

    async def _hash_new(self, field: str, password: str, username: str, caller: Hashable) -> str:
        """Hash the password of `field`. Raises ValidationFailed."""
        try:
            return await self._passwords.hash_new(password, username, caller)
        except WeakPassword as weak:
            raise ValidationFailed.of(field, str(weak)) from None

    async def _begin_session(self, user: User, user_agent: str) -> SignedIn:
        session_id = new_id()
        pair = self._tokens.issue_pair(user.id, session_id)
        await self._sessions.add(session_id, user.id, pair, user_agent, user.password_version)
        # A concurrent password change or ban revokes the sessions that it finds. It may have missed this one, so check
        # again.
        latest = await self._users.get(user.id)
        if latest is None or latest.password_version != user.password_version:
            await self._revoke_session(session_id, user.id)
            raise BadCredentials
        try:
            latest.check_ban()
        except Banned:
            await self._revoke_session(session_id, user.id)
            raise
        await self._revocation.announce(user.id, await self._sessions.revoke_excess(user.id, MAX_SESSIONS))
        await self._make_searchable(latest)
        return self._signed_in(latest.profile, pair)

    async def _make_searchable(self, user: User) -> None:
        """A process of an earlier version may have created the user after `release` has prepared the database."""
        if not user.is_searchable:
            await self._users.make_searchable(user)

    async def _revoke_session(self, session_id: str, user_id: str, *token_ids: str) -> bool:
        revoked = await self._sessions.revoke(session_id, user_id)
        if revoked:
            await self._revocation.announce(user_id, [session_id], *token_ids)
        return revoked

    async def _revoke_sessions(self, user: User, *, keep: str = "") -> None:
        """Revoke the sessions of the password that `user` has, and of earlier ones, but for `keep`."""
        revoked = await self._sessions.revoke_others(user.id, keep, user.password_version)
        await self._revocation.announce(user.id, revoked)

    def _signed_in(self, user: Profile, pair: TokenPair) -> SignedIn:
        return SignedIn(
            user=user,
            access_token=pair.access.text,
            refresh_token=pair.refresh.text,
            expires_in=self._tokens.ttl[ACCESS],
        )
