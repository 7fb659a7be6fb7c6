"""The store of usernames: who has which one. It makes them unique in a sharded database, too."""

from collections.abc import Iterable

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from service.common.errors import UsernameTaken
from service.datastores.find_by_ids import find_by_ids
from service.datastores.migrations import Migrations
from service.datastores.mongo import Collection, Database, Document, only_duplicates, unavailable
from service.datastores.old_index import OldIndex
from service.datastores.scan import scan

OLD_INDEX = "username_1"
"""The unique index of `users` in earlier versions."""


class UsernameStore:
    """`usernames`: `{_id: username, user_id, version, is_new}`, the claim of a user to a username.

    Who gets a username claims it first, and then it is written to the user's document, which is found by the user's id
    alone. If a process is killed in between, the claim remains, but blocks nobody:

    - If the user does not exist and `is_new`, the next registration creates them under the id in the claim. Of several
      that do so, the unique `_id` of users lets one succeed.
    - If the user has another username, the next one takes the claim over. `claiming` in the user's document, written
      before the claim, says that the username is about to become theirs. `version` differs after each claim, so a claim
      that was renewed meanwhile is not taken over.

    While processes of an earlier version run, which know no claims, OLD_INDEX keeps usernames unique, and
    `find_unclaimed` claims what such a process has stored. All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._claims: Collection = database["usernames"]
        self._users: Collection = database["users"]
        """Only read here; see UserStore."""
        self._migrations = Migrations(database)
        self.old_index = OldIndex(self._users, OLD_INDEX)

    async def holder(self, username: str) -> ObjectId | None:
        """Return the id of the user who has claimed a username, or None. They may not exist, or have another one."""
        async with unavailable():
            claim = await self._claims.find_one({"_id": username})
        return claim["user_id"] if claim else None

    async def holders(self, usernames: Iterable[str]) -> dict[str, ObjectId]:
        """Return the ids of the users who have claimed these usernames, like `holder`."""
        claims = await find_by_ids(self._claims, set(usernames), {"user_id": True})
        return {claim["_id"]: claim["user_id"] for claim in claims}

    async def claim(self, username: str, user_id: ObjectId, *, is_new: bool = False) -> ObjectId:
        """Claim a username; return the id of the user who has it now. Raises UsernameTaken.

        `is_new`: the id was made for this call; the result may be another one, of a user who does not exist. Otherwise
        `claiming` must have been written, unless the user does not exist yet.
        """
        while True:
            fresh: Document = {"user_id": user_id, "version": ObjectId(), "is_new": is_new}
            async with unavailable():
                try:
                    await self._claims.insert_one({"_id": username, **fresh})
                except DuplicateKeyError:
                    pass
                else:
                    return user_id
                claim = await self._claims.find_one({"_id": username})
                if claim is None:
                    continue
                if claim["user_id"] != user_id:
                    holder = await self._users.find_one({"_id": claim["user_id"]}, {"username": 1, "claiming": 1})
                    if holder is None and is_new and claim["is_new"]:
                        adopted: ObjectId = claim["user_id"]
                        return adopted
                    if holder is None or username in (holder["username"], holder.get("claiming")):
                        raise UsernameTaken
                renewed = await self._claims.update_one({"_id": username, "version": claim["version"]}, {"$set": fresh})
            if renewed.modified_count:
                return user_id

    async def version(self, username: str) -> ObjectId | None:
        """Return the version of the claim, or None if there is none."""
        async with unavailable():
            claim = await self._claims.find_one({"_id": username})
        return claim["version"] if claim else None

    async def release(self, username: str, user_id: ObjectId, version: ObjectId | None = None) -> None:
        """Give up the claim of this user; with `version`, only if it has not been renewed since."""
        mine: Document = {"_id": username, "user_id": user_id}
        async with unavailable():
            await self._claims.delete_one(mine if version is None else mine | {"version": version})

    async def find_unclaimed(self, username: str) -> ObjectId | None:
        """Claim a username for the user who got it from a process of an earlier version. Return their id, or None."""
        if not await self.old_index.exists():
            return None
        async with unavailable():
            user = await self._users.find_one({"username": username}, {"_id": 1})
        if user is None:
            return None
        await self._bind([(username, user["_id"])])
        found: ObjectId = user["_id"]
        return found

    async def carry_over(self) -> None:
        """Claim the usernames that processes of an earlier version have given to users. Idempotent."""
        if not await self.old_index.exists():
            return
        async with self._migrations.run("usernames") as since:
            async for batch in scan(self._users, {}, {"username": 1}, since):
                users = {user["username"]: user["_id"] for user in batch}
                claims = await find_by_ids(self._claims, users, {"user_id": 1})
                claimed = {claim["_id"]: claim["user_id"] for claim in claims}
                await self._bind([pair for pair in users.items() if claimed.get(pair[0]) != pair[1]])

    async def _bind(self, users: list[tuple[str, ObjectId]]) -> None:
        """Give these usernames to the users who have them by OLD_INDEX."""
        updates = [
            UpdateOne(
                {"_id": username},
                {"$set": {"user_id": user_id, "version": ObjectId(), "is_new": False}},
                upsert=True,
            )
            for username, user_id in users
        ]
        if not updates:
            return
        async with unavailable():
            try:
                await self._claims.bulk_write(updates, ordered=False)
            except BulkWriteError as error:
                # Another process does the same.
                if not only_duplicates(error):
                    raise
