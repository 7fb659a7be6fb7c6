"""People, as others see them: their profiles."""

from collections.abc import Iterable

from service.accounts.models import ProfileChange
from service.accounts.users import UserStore
from service.common.errors import NotFound
from service.common.profiles import Profile


class ProfileService:
    """See `service.common.profiles.Profiles`. All methods raise Unavailable where the database is away."""

    def __init__(self, users: UserStore) -> None:
        self._users = users

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        return await self._users.profiles(user_ids)

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        """Those of `user_ids` that are somebody's."""
        return await self._users.active(user_ids)

    async def profile(self, user_id: str) -> Profile:
        """Raises NotFound."""
        profiles = await self._users.profiles([user_id])
        if user_id not in profiles:
            raise NotFound
        return profiles[user_id]

    async def change_profile(self, user_id: str, change: ProfileChange) -> Profile:
        """Change what is set in `change`, and only that. Raises NotFound."""
        changes = change.model_dump(exclude_unset=True)
        if not changes:
            return await self.profile(user_id)
        user = await self._users.change_profile(user_id, changes)
        if user is None:
            raise NotFound
        return user.profile

    async def search(self, prefix: str, limit: int) -> list[Profile]:
        """See `UserStore.search`."""
        return await self._users.search(prefix, limit)
