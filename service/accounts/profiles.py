"""Public profiles: reading, changing and searching them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from bson import ObjectId

from service.accounts.models import OwnProfile, ProfileChange
from service.accounts.users import User, UserStore
from service.common.errors import NotFound
from service.common.profiles import Profile


class AvatarImages(Protocol):
    """The images that users upload as their avatars; see `service.attachments.avatars`."""

    async def prepare(self, user_id: str, avatar: str | None) -> ObjectId | None: ...

    def remove(self, replaced: ObjectId) -> None: ...


class ProfileService:
    """Implements `service.common.profiles.Profiles`. All methods raise Unavailable if the database is unavailable."""

    def __init__(
        self,
        users: UserStore,
        on_changed: Callable[[Profile, int], None] | None = None,
        on_presence_setting: Callable[[str], None] | None = None,
        avatars: AvatarImages | None = None,
    ) -> None:
        """`on_changed(profile, version)` is called after each change; versions of one user's profile grow.
        `on_presence_setting(user_id)` is called after each change of `show_presence`."""
        self._users = users
        self._on_changed = on_changed
        self._on_presence_setting = on_presence_setting
        self._avatars = avatars

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        return await self._users.profiles(user_ids)

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        return await self._users.active(user_ids)

    async def ids_by_username(self, usernames: Iterable[str]) -> dict[str, str]:
        return await self._users.ids_by_username(usernames)

    async def profile(self, user_id: str) -> Profile:
        """Return one profile. Raises NotFound."""
        profiles = await self._users.profiles([user_id])
        if user_id not in profiles:
            raise NotFound
        return profiles[user_id]

    async def own_profile(self, user_id: str, roles: Sequence[str] = ()) -> OwnProfile:
        """Return the profile as its user sees it. `roles`: those that the token names. Raises NotFound."""
        user = await self._users.get(user_id)
        if user is None:
            raise NotFound
        return _own(user, roles)

    async def showing_presence(self, user_ids: Iterable[str]) -> set[str]:
        return await self._users.showing_presence(user_ids)

    async def change_profile(self, user_id: str, change: ProfileChange, roles: Sequence[str] = ()) -> OwnProfile:
        """Apply the fields that are set in `change`, and return the new profile, as `own_profile` does. Raises
        NotFound, and ValidationFailed (`avatar`) if there is no such image of the user."""
        changes = change.model_dump(exclude_unset=True)
        if not changes:
            return await self.own_profile(user_id, roles)
        user = await self.set_fields(user_id, changes)
        if self._on_presence_setting and "show_presence" in changes:
            self._on_presence_setting(user_id)
        return _own(user, roles)

    async def set_fields(self, user_id: str, changes: dict[str, Any]) -> User:
        """Set these fields, tell the user's connections, and return the changed user.

        Raises NotFound, also if the deletion of the user has begun, UsernameTaken, and ValidationFailed (`avatar`).
        """
        replaced = None
        if self._avatars and "avatar" in changes:
            replaced = await self._avatars.prepare(user_id, changes["avatar"])
        user = await self._users.change_profile(user_id, changes)
        if user is None:
            raise NotFound
        if self._avatars and replaced:
            self._avatars.remove(replaced)
        if self._on_changed:
            self._on_changed(user.profile, user.profile_version)
        return user

    async def search(self, query: str, limit: int, after: str = "") -> tuple[list[Profile], str | None]:
        """See `UserStore.search`."""
        return await self._users.search(query, limit, after)


def _own(user: User, roles: Sequence[str]) -> OwnProfile:
    all_roles = sorted({*user.roles, *roles})
    return OwnProfile(**user.profile.model_dump(), show_presence=user.shows_presence, roles=all_roles)
