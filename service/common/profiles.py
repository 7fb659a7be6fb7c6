"""Public profiles, and the interface to read them."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from pydantic import BaseModel


class Profile(BaseModel):
    """A public profile. `avatar` is an http(s) URL, or a path on this server if the user has uploaded it."""

    id: str
    username: str
    display_name: str
    avatar: str | None = None


def profile_of(user_id: str, profiles: Mapping[str, Profile]) -> Profile:
    """Return the user's profile, or one with empty names if it is not in `profiles`."""
    return profiles.get(user_id) or Profile(id=user_id, username="", display_name="")


class Profiles(Protocol):
    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """Return the profiles of all of `user_ids` that exist or have existed, in one read. Raises Unavailable."""
        ...

    async def existing(self, user_ids: Iterable[str]) -> set[str]:
        """Return those of `user_ids` that exist. Raises Unavailable."""
        ...

    async def ids_by_username(self, usernames: Iterable[str]) -> dict[str, str]:
        """Return the ids of those users who exist, by username, in two reads. Raises Unavailable."""
        ...
