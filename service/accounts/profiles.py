"""Public profiles: reading, changing and searching them."""

from collections.abc import Callable, Iterable

from service.accounts.models import ProfileChange
from service.accounts.users import UserStore
from service.common.errors import NotFound
from service.common.profiles import Profile


class ProfileService:
    """Implements `service.common.profiles.Profiles`. All methods raise Unavailable if the database is unavailable."""

    def __init__(self, users: UserStore, on_changed: Callable[[Profile, int], None] | None = None) -> None:
        """`on_changed(profile, version)` is called after each change; versions of one user's profile grow."""
        self._users = users
        self._on_changed = on_changed

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        return await self._users.profiles(user_ids)

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        return await self._users.active(user_ids)

    async def profile(self, user_id: str) -> Profile:
        """Return one profile. Raises NotFound."""
        profiles = await self._users.profiles([user_id])
        if user_id not in profiles:
            raise NotFound
        return profiles[user_id]

    async def change_profile(self, user_id: str, change: ProfileChange) -> Profile:
        """Apply the fields that are set in `change`, and return the new profile. Raises NotFound."""
        changes = change.model_dump(exclude_unset=True)
        if not changes:
            return await self.profile(user_id)
        user = await self._users.change_profile(user_id, changes)
        if user is None:
            raise NotFound
        if self._on_changed:
            self._on_changed(user.profile, user.profile_version)
        return user.profile

    async def search(self, query: str, limit: int, after: str = "") -> tuple[list[Profile], str | None]:
        """See `UserStore.search`."""
        return await self._users.search(query, limit, after)
