"""The store of users: names, profiles and password hashes."""

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
"""The last code point, a noncharacter: `prefix + LAST_CHARACTER` sorts after every text that begins with `prefix`."""

SEARCH_INDEXES: dict[str, list[tuple[str, int]]] = {
    "username": [("username", ASCENDING)],
    "display_folded": [("display_folded", ASCENDING), ("_id", ASCENDING)],
}
"""The fields that a search reads, in this order, each with the index that it uses."""

ACTIVE = {"deleted_at": None}
"""Users whose deletion has begun have a `deleted_at`."""
DELETED_USER_NAME = "Deleted user"
"""The display name of a deleted user in conversations and comments of others."""

PROFILE_FIELDS = {"username": True, "display_name": True, "avatar": True}


@dataclass(frozen=True, slots=True)
class User:
    """`password_version` counts changes of the password. A rehash of the same password does not count."""

    profile: Profile
    password_hash: str = field(repr=False)
    password_version: int = 0

    @property
    def id(self) -> str:
        return self.profile.id


class UserStore:
    """Stores users. Usernames are unique. All methods raise Unavailable if the database is unavailable."""

    def __init__(self, database: Database) -> None:
        self._users: Collection = database["users"]

    async def create_indexes(self) -> None:
        async with unavailable():
            await self._users.create_index(SEARCH_INDEXES["username"], unique=True)
            await self._users.create_index(SEARCH_INDEXES["display_folded"])

    async def add(self, username: str, display_name: str, password_hash: str) -> User:
        """Store a new user. Raises UsernameTaken; the unique index decides between concurrent calls."""
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
        """Return the user, or None."""
        return await self._find({"_id": ObjectId(user_id)})

    async def by_username(self, username: str) -> User | None:
        """Return the user, or None. A user whose deletion has begun is not found."""
        return await self._find({"username": username, **ACTIVE})

    async def begin_deletion(self, username: str) -> str | None:
        """Erase the profile and the password, so that the user cannot sign in. Returns the id, or None if not found.

        Can be repeated until `finish_deletion` has freed the username.
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
        """Free the username. Nothing that identifies the user remains."""
        async with unavailable():
            await self._users.update_one({"_id": ObjectId(user_id)}, {"$set": {"username": f"deleted_{user_id}"}})

    async def change_profile(self, user_id: str, changes: dict[str, Any]) -> User | None:
        """Set these fields. Returns the changed user, or None if not found."""
        if "display_name" in changes:
            changes = {**changes, "display_folded": fold(changes["display_name"])}
        async with unavailable():
            # Not find_one_and_update: the embedded server reads the whole collection for it.
            await self._users.update_one({"_id": ObjectId(user_id)}, {"$set": changes})
        return await self.get(user_id)

    async def change_password(self, user: User, password_hash: str) -> bool:
        """Store a new password. Returns False if the password has been changed since `user` was read."""
        async with unavailable():
            result = await self._users.update_one(
                {"_id": ObjectId(user.id), "password_version": user.password_version},
                {"$set": {"password_hash": password_hash}, "$inc": {"password_version": 1}},
            )
        return bool(result.modified_count)

    async def rehash(self, user: User, password_hash: str) -> None:
        """Replace the hash of the same password, unless the password has been changed since `user` was read."""
        async with unavailable():
            await self._users.update_one(
                {"_id": ObjectId(user.id), "password_version": user.password_version},
                {"$set": {"password_hash": password_hash}},
            )

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """Return the profiles of those of `user_ids` that exist or have existed."""
        ids = {ObjectId(user_id) for user_id in user_ids}
        documents = await find_by_ids(self._users, ids, PROFILE_FIELDS)
        return {profile.id: profile for profile in map(_profile, documents)}

    async def active(self, user_ids: Iterable[str]) -> set[str]:
        """Return those of `user_ids` that exist and whose deletion has not begun."""
        ids = [ObjectId(user_id) for user_id in set(user_ids)]
        async with unavailable():
            documents = await self._users.find({"_id": {"$in": ids}, **ACTIVE}, {"_id": True}).to_list(len(ids) or 1)
        return {str(document["_id"]) for document in documents}

    async def search(self, prefix: str, limit: int) -> list[Profile]:
        """Return at most `limit` profiles whose username or display name begins with `prefix`, ignoring case.

        Matches by username come first, ordered by it; then matches by display name, ordered by that.
        """
        folded = fold(prefix)
        found: dict[str, Profile] = {}
        for name, index in SEARCH_INDEXES.items():
            where = {name: {"$gte": folded, "$lt": folded + LAST_CHARACTER}, **ACTIVE}
            async with unavailable():
                documents = await self._users.find(where, PROFILE_FIELDS).sort(index).limit(limit).to_list(limit)
            for profile in map(_profile, documents):
                found.setdefault(profile.id, profile)
        return list(found.values())[:limit]

    async def _find(self, where: Document) -> User | None:
        async with unavailable():
            document = await self._users.find_one(where)
        return _user(document) if document else None


def fold(text: str) -> str:
    """Return the form in which names are compared: case-folded and NFKC-normalised."""
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
