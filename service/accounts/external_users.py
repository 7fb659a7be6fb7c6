"""People of the site that Loa stands beside: created and updated under the ids that the site gives them."""

from typing import Any, TypedDict

from service.accounts import derived_usernames
from service.accounts.external_ids import ExternalIdStore
from service.accounts.profiles import ProfileService
from service.accounts.revocation import Revocation
from service.accounts.sessions import SessionStore
from service.accounts.users import User, UserStore
from service.common.errors import NotFound, Unavailable, UsernameTaken


class ExternalProfile(TypedDict, total=False):
    """What the site says about somebody. Missing fields are not changed.

    `username` is a wish: see `derived_usernames`. `display_name` and `avatar` have been validated.
    """

    username: str
    display_name: str
    avatar: str | None


class ExternalUsers:
    """Users by external id. They have no password. All methods raise Unavailable if the database is unavailable.

    Every process may create the same user at the same time. So the binding of the external id decides first which id
    the user gets, and then each of them stores the user under that id, of which one succeeds. If a process is killed in
    between, the next one completes what it has begun.
    """

    def __init__(
        self,
        ids: ExternalIdStore,
        users: UserStore,
        profiles: ProfileService,
        sessions: SessionStore,
        revocation: Revocation,
    ) -> None:
        self._ids = ids
        self._users = users
        self._profiles = profiles
        self._sessions = sessions
        self._revocation = revocation

    async def user_ids(self, external_ids: list[str]) -> dict[str, str]:
        """Return the user ids of those of `external_ids` that have a user."""
        return await self._ids.user_ids(external_ids)

    async def find(self, external_id: str) -> User:
        """Return the user. Raises NotFound."""
        user_id = (await self._ids.user_ids([external_id])).get(external_id)
        user = await self._users.get(user_id) if user_id else None
        if user is None or user.is_deleted:
            raise NotFound
        return user

    async def check_ban(self, user_id: str) -> None:
        """Raise Banned if the user may not sign in now."""
        if user := await self._users.get(user_id):
            user.check_ban()

    async def put(self, external_id: str, profile: ExternalProfile) -> tuple[User, bool]:
        """Create or change the user; return it, and whether it is new.

        Connections of the user get `profile_updated` if the profile differs. If the username is taken or impossible,
        they get a similar one. Somebody who was deleted is a new user.
        """
        while True:
            binding = await self._ids.bind(external_id)
            user_id = binding.user_id
            assert user_id
            if not binding.is_stored:
                user, created = await self._create(external_id, user_id, profile)
                await self._ids.mark_stored(external_id, user_id)
                if created:
                    return user, True
            found = await self._users.get(user_id)
            if found is None or found.is_deleted:
                # A deletion that has begun, or that was interrupted.
                await self._ids.unbind(external_id, user_id)
                continue
            try:
                return await self._update(found, profile), False
            except NotFound:
                continue

    async def revoke_all(self, external_id: str) -> None:
        """Revoke every token of the user issued until now, and close their connections, on every process.

        A token says in whole seconds when it was issued, so one of the current second is revoked, too; and so is every
        token that does not say it, for good. Raises NotFound.
        """
        user = await self.find(external_id)
        # First: a session that is begun meanwhile is begun after it, or finds it.
        await self._ids.revoke(external_id)
        await self._revocation.announce(user.id, await self._sessions.revoke_others(user.id, keep=""))

    async def _create(self, external_id: str, user_id: str, profile: ExternalProfile) -> tuple[User, bool]:
        """Store the user under this id; return it, and whether this call has stored it."""
        base = derived_usernames.base(profile.get("username"), profile.get("display_name"))
        for username in derived_usernames.candidates(base):
            try:
                user = await self._users.add(
                    username,
                    profile.get("display_name") or username,
                    password_hash="",
                    user_id=user_id,
                    avatar=profile.get("avatar"),
                    external_id=external_id,
                )
            except UsernameTaken:
                if existing := await self._users.get(user_id):
                    return existing, False
            else:
                return user, True
        raise Unavailable("No free username was found.")

    async def _update(self, user: User, profile: ExternalProfile) -> User:
        """Apply what differs. Raises NotFound if the user is being deleted."""
        changes: dict[str, Any] = {
            name: value
            for name, value in profile.items()
            if name != "username" and value != getattr(user.profile, name)
        }
        if "username" in profile:
            user = await self._rename(user, profile["username"])
        return await self._profiles.set_fields(user.id, changes) if changes else user

    async def _rename(self, user: User, wish: str) -> User:
        """Give the user the username nearest to `wish` that is free, unless they have one like it already."""
        current, base = user.profile.username, derived_usernames.base(wish)
        if base == derived_usernames.FALLBACK:
            return user
        for username in derived_usernames.candidates(base):
            if username == current:
                return user
            try:
                return await self._profiles.set_fields(user.id, {"username": username})
            except UsernameTaken:
                if derived_usernames.is_candidate(current, base):
                    return user
        return user
