"""Sessions of tokens from outside: whose token it is, and whether it is revoked."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.accounts.external_ids import Binding, ExternalIdStore
from service.accounts.external_tokens import ExternalToken, ExternalTokens
from service.accounts.external_users import ExternalProfile, ExternalUsers
from service.accounts.revocation import Revocation
from service.accounts.sessions import SessionStore
from service.common.errors import TokenRevoked, Unavailable
from service.common.identity import Identity
from service.common.ids import derived_id

MAX_KNOWN = 20_000
"""Sessions that a process remembers, some 20 MB. Of another one, it reads two documents at the next request."""

MAX_ATTEMPTS = 10
"""Attempts to begin a session, of which only a revocation at the same moment makes another one necessary."""


@dataclass(slots=True)
class KnownSession:
    """A session that was not revoked at `read_at`, by the monotonic clock. `expires_at`: Unix time in seconds."""

    user_id: str
    session_id: str
    digests: Mapping[str, str]
    claims_issued_at: float
    revoked_until: float
    expires_at: float
    read_at: float


class ExternalSessions:
    """Turns a verified token into an Identity.

    The session of a token is that of its `sid`; all tokens of a user without `sid` have one in common. Its id is a hash
    of both and of a `generation`, which grows when everything that a user has is revoked: tokens that the site issues
    later begin another session, even with the same `sid`. A session that was revoked alone stays ended; that of
    tokens without `sid` is followed by another, for the user would otherwise be locked out.

    Sessions are stored like those of Loa's own accounts, so what revokes, lists and polls those does it for these, too.
    An entry of the denylist does not outlive a token from outside, which may be valid for days. So a process reads a
    session again once it is older than the shortest life of such an entry; before, the denylist has what has changed.
    """

    def __init__(
        self,
        tokens: ExternalTokens,
        ids: ExternalIdStore,
        users: ExternalUsers,
        sessions: SessionStore,
        revocation: Revocation,
        *,
        reread_after: float,
    ) -> None:
        """`reread_after`: seconds that are shorter than the life of a denylist entry."""
        self.tokens = tokens
        self._ids = ids
        self._users = users
        self._sessions = sessions
        self._revocation = revocation
        self._reread_after = reread_after
        self._known: OrderedDict[tuple[str, str | None], KnownSession] = OrderedDict()

    async def start(self) -> None:
        await self.tokens.start()

    async def close(self) -> None:
        await self.tokens.close()

    async def identify(self, text: str, user_agent: str = "") -> Identity:
        """Verify a token and return its owner, who is created at first sight.

        Raises TokenInvalid, TokenExpired, TokenRevoked, Banned, Unavailable.
        """
        token = await self.tokens.decode(text)
        key = token.external_id, token.session
        known = self._known.get(key)
        if known and not _claims_differ(token, known) and not _is_revoked(token, known.revoked_until):
            try:
                await self._reread_if_due(known, token)
                return await self._checked(token, known)
            except TokenRevoked:
                # All of the user's sessions may have been revoked before this token was issued.
                pass
        known = await self._read(token, user_agent)
        identity = await self._checked(token, known)
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return identity

    async def _checked(self, token: ExternalToken, known: KnownSession) -> Identity:
        identity = Identity(known.user_id, known.session_id, token.id, token.expires_at, token.roles)
        await self._revocation.check(identity)
        return identity

    async def _reread_if_due(self, known: KnownSession, token: ExternalToken) -> None:
        """Raises TokenRevoked if the session is not stored any more, or is revoked."""
        if time.monotonic() - known.read_at >= self._reread_after:
            read_at = time.monotonic()
            session = await self._sessions.find_external(known.session_id, known.user_id)
            if session is None or session.revoked_at:
                raise TokenRevoked
            known.expires_at, known.read_at = session.expires_at.timestamp(), read_at
        if token.expires_at > known.expires_at:
            await self._sessions.extend(known.session_id, known.user_id, _date(token.expires_at))
            known.expires_at = token.expires_at

    async def _read(self, token: ExternalToken, user_agent: str) -> KnownSession:
        """Read the user and the session from the database, and create or change what the token says."""
        for _ in range(MAX_ATTEMPTS):
            read_at = time.monotonic()
            binding = await self._ids.find(token.external_id)
            _check_issued(token, binding)
            if binding is None or binding.user_id is None or not binding.is_stored or _claims_differ(token, binding):
                binding = await self._put(token, binding)
            assert binding.user_id
            # After the binding was read: a ban that this misses changes the binding, which `_is_current` finds.
            await self._users.check_ban(binding.user_id)
            session_id = _session_id(token, binding)
            session = await self._sessions.find_external(session_id, binding.user_id)
            if session is None:
                await self._sessions.add_external(session_id, binding.user_id, _date(token.expires_at), user_agent)
                if not await self._is_current(token, binding, session_id):
                    continue
            elif session.revoked_at:
                await self._follow_revoked(token, binding, session.revoked_at)
                continue
            elif token.expires_at > session.expires_at.timestamp():
                await self._sessions.extend(session_id, binding.user_id, _date(token.expires_at))
            stored_until = session.expires_at.timestamp() if session else 0
            return KnownSession(
                binding.user_id,
                session_id,
                binding.digests,
                binding.claims_issued_at,
                _revoked_until(token, binding),
                max(stored_until, token.expires_at),
                read_at,
            )
        raise Unavailable

    async def _put(self, token: ExternalToken, binding: Binding | None) -> Binding:
        """Create the user, or change what the claims of the token have changed."""
        stored = binding.digests if binding else {}
        changed = {field: value for field, value in token.profile.items() if stored.get(field) != token.digests[field]}
        user, _ = await self._users.put(token.external_id, ExternalProfile(**changed))  # type: ignore[typeddict-item]
        await self._ids.record_claims(token.external_id, user.id, token.digests, token.issued_at)
        latest = await self._ids.find(token.external_id)
        _check_issued(token, latest)
        if latest is None or latest.user_id is None:
            # Deleted meanwhile.
            raise TokenRevoked
        return latest

    async def _is_current(self, token: ExternalToken, binding: Binding, session_id: str) -> bool:
        """Return whether nothing was revoked while the session was added: a revocation would have missed it."""
        latest = await self._ids.find(token.external_id)
        if latest and latest.user_id == binding.user_id and _session_id(token, latest) == session_id:
            return True
        assert binding.user_id
        await self._sessions.revoke(session_id, binding.user_id)
        return False

    async def _follow_revoked(self, token: ExternalToken, binding: Binding, revoked_at: datetime) -> None:
        """Let the revoked session of tokens without `sid` be followed by another. Raises TokenRevoked otherwise."""
        if token.session is not None or token.issued_at <= revoked_at.timestamp():
            raise TokenRevoked
        await self._ids.revoke_nameless(token.external_id, binding.nameless_generation, revoked_at.timestamp())


def _claims_differ(token: ExternalToken, seen: Binding | KnownSession) -> bool:
    """Return whether the token has claims about the person that are later than those seen, and others."""
    is_later = not token.issued_at or token.issued_at > seen.claims_issued_at
    return is_later and token.digests != seen.digests


def _check_issued(token: ExternalToken, binding: Binding | None) -> None:
    """Raise TokenRevoked if everything that was issued by then has been revoked."""
    if binding and _is_revoked(token, _revoked_until(token, binding)):
        raise TokenRevoked


def _is_revoked(token: ExternalToken, until: float) -> bool:
    """Return whether everything that was issued until then, 0 if nothing, includes this token."""
    return token.issued_at <= until > 0


def _revoked_until(token: ExternalToken, binding: Binding) -> float:
    return max(binding.revoked_until, 0 if token.session is not None else binding.nameless_revoked_until)


def _session_id(token: ExternalToken, binding: Binding) -> str:
    """Return the id of the token's session: 96 bits of a hash, as many as every id has."""
    named = token.session is not None
    parts = (
        token.external_id,
        "sid" if named else "",
        token.session or "",
        str(binding.generation),
        "" if named else str(binding.nameless_generation),
    )
    return str(derived_id("\0".join(parts)))


def _date(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
