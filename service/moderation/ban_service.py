"""Bans: a user cannot sign in for a time, or ever."""

from datetime import datetime

from bson import ObjectId

from service.accounts.external_ids import ExternalIdStore
from service.accounts.revocation import Revocation
from service.accounts.sessions import SessionStore
from service.accounts.users import User, UserStore
from service.common.cursor import CursorFormat
from service.common.errors import Forbidden, NotFound, ValidationFailed
from service.common.moderation import MODERATOR
from service.common.profiles import Profiles, profile_of
from service.moderation.audit_log import AuditLog
from service.moderation.models import Ban, BannedUser, BanPage
from service.push.subscription_store import SubscriptionStore

CURSORS = CursorFormat("bans", datetime, ObjectId)


class BanService:
    """A ban is in the user's document, which every sign-in reads; it ends by itself. What a request costs does not
    change: the tokens that exist end with the sessions. Those of another site are good again once the ban has ended:
    the site has issued them to the same person, and of one that does not say when, nobody could tell that it is later.
    All methods raise NotFound and Unavailable.

    The document is written first, then the sessions are revoked: a sign-in that has missed the ban has stored its
    session before, and reads the document again after that. A repeated request does all steps again, and so does
    PendingUserChanges for a ban that was interrupted.
    """

    def __init__(
        self,
        users: UserStore,
        external_ids: ExternalIdStore,
        sessions: SessionStore,
        revocation: Revocation,
        subscriptions: SubscriptionStore,
        log: AuditLog,
        profiles: Profiles,
    ) -> None:
        self._users = users
        self._external_ids = external_ids
        self._sessions = sessions
        self._revocation = revocation
        self._subscriptions = subscriptions
        self._log = log
        self._profiles = profiles

    async def ban(self, moderator: str, user_id: str, until: datetime | None, reason: str) -> Ban:
        """Ban a user until then, or for ever; a later call replaces the time. Their connections end everywhere.

        Raises Forbidden for a moderator, ValidationFailed (`user_id`) for oneself. What they have written stays.
        """
        if user_id == moderator:
            raise ValidationFailed.of("user_id", "Nobody bans themselves.")
        user = await self._existing(user_id)
        if MODERATOR in user.roles:
            raise Forbidden("A moderator cannot be banned; the operator takes the role away first.")
        await self._log.add(moderator, "ban", "user", user_id, reason=reason, until=until)
        await self._users.set_ban(user_id, until, moderator, reason)
        await self.complete(user_id)
        return Ban(user_id=user_id, until=until)

    async def complete(self, user_id: str) -> None:
        """End what a banned user has, if they still are banned. Idempotent."""
        user = await self._users.get(user_id)
        if user is None or user.ban is None:
            return
        if user.external_id is not None:
            await self._external_ids.end_sessions(user.external_id)
        await self._revocation.announce(user_id, await self._sessions.revoke_others(user_id, keep=""))
        await self._subscriptions.delete_all(user_id)
        await self._users.complete_ban(user_id, user.ban)

    async def unban(self, moderator: str, user_id: str) -> None:
        """End the ban of a user. Idempotent."""
        await self._existing(user_id)
        await self._log.add(moderator, "unban", "user", user_id)
        await self._users.lift_ban(user_id)

    async def page(self, limit: int, before: str | None) -> BanPage:
        """Return a page of the bans that are in force, the latest first. Raises ValidationFailed (`before`)."""
        key = CURSORS.parse(before) if before is not None else None
        found = await self._users.banned(limit + 1, (key[0], key[1]) if key else None)
        profiles = await self._profiles.profiles({ban.by for _, ban in found if ban.by})
        items = [
            BannedUser(
                user=user,
                until=ban.until,
                at=ban.at,
                by=profile_of(ban.by, profiles) if ban.by else None,
                reason=ban.reason,
            )
            for user, ban in found[:limit]
            if ban.at
        ]
        last = items[-1] if len(found) > limit else None
        return BanPage(items=items, next=CURSORS.encode((last.at, ObjectId(last.user.id))) if last else None)

    async def _existing(self, user_id: str) -> User:
        user = await self._users.get(user_id)
        if user is None or user.is_deleted:
            raise NotFound
        return user
