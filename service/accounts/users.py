"""The store of people: their names, and how to know them again."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from service.common.errors import UsernameTaken
from service.common.profiles import Profile
from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Collection, Database, Document, unavailable

LAST_CHARACTER = "\U0010ffff"
"""No text sorts behind a prefix followed by it, for it is in none."""

SEARCHED: dict[str, list[tuple[str, int]]] = {
    "username": [("username", ASCENDING)],
    "display_folded": [("display_folded", ASCENDING), ("_id", ASCENDING)],
}
"""The fields that a search looks in, in turn, and the index that each is walked by."""

ACTIVE = {"deleted_at": None}
"""Of whoever is not being deleted, and has not been, there is no such time."""
DELETED_USER_NAME = "Deleted user"
"""What is left of a name beside what others have had to do with it."""

PUBLIC = {"username": True, "display_name": True, "avatar": True}


@dataclass(frozen=True, slots=True)
class User:
    """`password_version` counts the changes of the password, not those of its hash."""

    profile: Profile
    password_hash: str = field(repr=False)
    password_version: int = 0

    @property
    def id(self) -> str:
        return self.profile.id


class UserStore:
    """Usernames are unique. All methods raise Unavailable where the database is away."""

    def __init__(self, database: Database) -> None:
        self._users: Collection = database["users"]

    async def create_indexes(self) -> None:
        async with unavailable():
            await self._users.create_index(SEARCHED["username"], unique=True)
            await self._users.create_index(SEARCHED["display_folded"])

    async def add(self, username: str, display_name: str, password_hash: str) -> User:
        """Raises UsernameTaken: of two at once, the unique index lets one through."""
        document = {
            "_id": ObjectId(),
            "username": username,
            "display_name": display_name,
            "display_folded": fold(display_name),
            "avatar": None,
            "password_hash": password_hash,
            "password_version": 0,
            "created_at": now(),
        }
        async with unavailable():
            try:
                await self._users.insert_one(document)
            except DuplicateKeyError:
                raise UsernameTaken from None
        return _user(document)

    async def get(self, user_id: str) -> User | None:
        return await self._find({"_id": ObjectId(user_id)})

    async def by_username(self, username: str) -> User | None:
        """One who is being deleted is not found any more."""
        return await self._find({"username": username, **ACTIVE})

    async def begin_deletion(self, username: str) -> str | None:
        """Begin to delete: nobody signs in any more, and there is no profile. The id; None where there is no such user.

        Repeatable until `finish_deletion` has given the name away.
        """
        async with unavailable():
            document = await self._users.find_one({"username": username}, {"_id": True})
            if document is None:
                return None
            changes = {"display_name": DELETED_USER_NAME, "avatar": None, "password_hash": "", "deleted_at": now()}
            await self._users.update_one(
                {"_id": document["_id"], **ACTIVE},
                {"$set": changes, "$unset": {"display_folded": ""}, "$inc": {"password_version": 1}},
            )
        return str(document["_id"])

    async def finish_deletion(self, user_id: str) -> None:
        """The end of deleting: the name is free, and whose it was is not known."""
        async with unavailable():
            await self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"username": f"deleted_{user_id}"}})

    async def change_profile(self, user_id: str, changes: dict[str, Any]) -> User | None:
        if "display_name" in changes:
            changes = {**changes, "display_folded": fold(changes["display_name"])}
        async with unavailable():
            # Not find_one_and_update, for which the embedded server reads the whole collection.
            await self._users.update_one({"_id": ObjectId(user_id)}, {"$set": changes})
        return await self.get(user_id)

    async def change_password(self, user: User, password_hash: str) -> bool:
        """False where the password is no longer the one of `user`: somebody else has just changed it."""
        async with unavailable():
            result = await self._users.update_one(
                {"_id": ObjectId(user.id), "password_version": user.password_version},
                {"$set": {"password_hash": password_hash}, "$inc": {"password_version": 1}},
            )
        return bool(result.modified_count)

    async def rehash(self, user: User, password_hash: str) -> None:
        """Keep the same password under a better hash, unless it has changed meanwhile."""
        async with unavailable():
            await self._users.update_one(
                {"_id": ObjectId(user.id), "password_version": user.password_version},
                {"$set": {"password_hash": password_hash}},
            )

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        ids = {ObjectId(user_id) for user_id in user_ids}
        documents = await find_by_ids(self._users, ids, PUBLIC)
        return {profile.id: profile for profile in map(_profile, documents)}

    async def active(self, user_ids: Iterable[str]) -> set[str]:
        """Those of `user_ids` that are somebody's, and not about to be nobody's."""
        ids = [ObjectId(user_id) for user_id in set(user_ids)]
        async with unavailable():
            documents = await self._users.find({"_id": {"$in": ids}, **ACTIVE}, {"_id": True}).to_list(len(ids) or 1)
        return {str(document["_id"]) for document in documents}

    async def search(self, prefix: str, limit: int) -> list[Profile]:
        """Those whose username begins with `prefix`, by it; then those whose display name does, by that. Case does not
        matter. At most `limit`."""
        first = fold(prefix)
        found: dict[str, Profile] = {}
        for name, index in SEARCHED.items():
            within = {name: {"$gte": first, "$lt": first + LAST_CHARACTER}, **ACTIVE}
            async with unavailable():
                documents = await self._users.find(within, PUBLIC).sort(index).limit(limit).to_list(limit)
            for profile in map(_profile, documents):
                found.setdefault(profile.id, profile)
        return list(found.values())[:limit]

    async def _find(self, which: Document) -> User | None:
        async with unavailable():
            document = await self._users.find_one(which)
        return _user(document) if document else None


def fold(text: str) -> str:
    """What names are compared by: case and the ways of writing the same character do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _profile(document: Document) -> Profile:
    return Profile(
        id=str(document["_id"]),
        username=document["username"],
        display_name=document["display_name"],
        avatar=document["avatar"],
    )


def _user(document: Document) -> User:
    return User(_profile(document), document["password_hash"], document["password_version"])
