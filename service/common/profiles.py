"""A person as others see them, and who can be asked for it."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from pydantic import BaseModel


class Profile(BaseModel):
    """A public profile. `avatar` is an http(s) URL."""

    id: str
    username: str
    display_name: str
    avatar: str | None = None


def profile_of(user_id: str, profiles: Mapping[str, Profile]) -> Profile:
    """Theirs of `profiles`; an empty one where there is none."""
    return profiles.get(user_id) or Profile(id=user_id, username="", display_name="")


class Profiles(Protocol):
    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """The profiles of those of `user_ids` that exist or have existed, in one read. Raises Unavailable."""
        ...

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        """Those of `user_ids` that are somebody's. Raises Unavailable."""
        ...
