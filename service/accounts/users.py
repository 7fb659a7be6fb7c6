"""The store of users: names, profiles and password hashes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.errors import DuplicateKeyError

from service.accounts.models import DELETED_PREFIX
from service.accounts.reset_links import ResetLink
from service.accounts.search_terms import query_terms, user_terms
from service.accounts.usernames import UsernameStore
from service.common.errors import Banned, UsernameTaken
from service.common.ids import new_id
from service.common.profiles import Profile
from service.common.times import now
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.find_by_ids import IDS_PER_READ, find_by_ids
from service.datastores.mongo import Collection, Database, Document, unavailable, update_all
from service.datastores.update_and_find import update_and_find

ACTIVE = {"deleted_at": None}
"""Users whose deletion has begun have a `deleted_at`."""
DELETED_USER_NAME = "Deleted user"
"""The display name of a deleted user in conversations and comments of others."""
DELETION_REQUESTED = "deletion_requested"
BAN_PENDING = "ban.pending"
"""Of a user whose sessions and pushes may not have ended since they were banned."""
ERASED: Document = {"display_name": DELETED_USER_NAME, "avatar": None, "password_hash": "", "search_terms": []}
"""What is left of a profile when its deletion begins, beside the username."""

PROFILE_FIELDS = {"username": True, "display_name": True, "avatar": True}
SEARCH_TERM_SOURCES = {"username": True, "display_name": True, "deleted_at": True}
SEARCH_ORDER = [("username", ASCENDING)]
BATCH_SIZE = 500
MAX_CANDIDATES = 1000
"""Users with the longest word of a query that are read for one page. Of a name that half of all users have, a MongoDB
with a million of them would otherwise read them all for a second word that nobody has."""
CANDIDATE_BATCH = 200


class Ban(NamedTuple):
    """The user may not sign in until then; None: for ever. `at`: when they were banned, `by` this moderator."""

    until: datetime | None
    at: datetime | None = None
    by: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """`password_version` counts changes of the password, `profile_version` those of the profile. A rehash of the same
    password does not count.

    `is_searchable` is False for a user of an earlier version who has no search terms. `external_id`: who the user is at
    the site that Loa stands beside, None for an account of Loa's own. `is_deleted`: the deletion has begun. `roles`:
    those that the operator has granted.
    """

    profile: Profile
    password_hash: str = field(repr=False)
    password_version: int = 0
    profile_version: int = 0
    is_searchable: bool = True
    shows_presence: bool = True
    external_id: str | None = None
    is_deleted: bool = False
    roles: tuple[str, ...] = ()
    ban: "Ban | None" = None
    reset_link: ResetLink | None = None

    @property
    def id(self) -> str:
        return self.profile.id

    def check_ban(self) -> None:
        """Raise Banned if the user may not sign in now."""
        if self.ban and (self.ban.until is None or self.ban.until > now()):
            raise Banned(self.ban.until)


class UserStore:
    """Stores users. Usernames are unique: see UsernameStore. All methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._users: Collection = database["users"]
        # Requests that show profiles at the same time share a read: many show the same ones.
        self._reads: Batcher[frozenset[ObjectId], dict[str, Profile]] = Batcher(
            self._profiles_of_each, max_batch=IDS_PER_READ, timeout=BATCH_TIMEOUT
        )
        self.usernames = UsernameStore(database)

    async def create_indexes(self) -> None:
        await self._users.create_index([("search_terms", ASCENDING), *SEARCH_ORDER])
        await self._users.create_index(DELETION_REQUESTED, sparse=True)
        await self._users.create_index(BAN_PENDING, sparse=True)
        await self._users.create_index(
            [("ban.at", DESCENDING), ("_id", DESCENDING)], partialFilterExpression={"ban.at": {"$exists": True}}
        )

    async def add(
        self,
        username: str,
        display_name: str,
        password_hash: str,
        *,
        user_id: str | None = None,
        avatar: str | None = None,
        external_id: str | None = None,
    ) -> User:
        """Store a new user. Raises UsernameTaken.

        If there is a user with this `user_id` already, it raises UsernameTaken, too.
        """
        id = await self.usernames.claim(username, ObjectId(user_id), is_new=user_id is None)
        document: Document = {
            "_id": id,
            "username": username,
            "display_name": display_name,
            "search_terms": user_terms(username, display_name),
            "avatar": avatar,
            "password_hash": password_hash,
            "password_version": 0,
            "created_at": now(),
        }
        if external_id is not None:
            document["external_id"] = external_id
        async with unavailable():
            try:
                await self._users.insert_one(document)
            except DuplicateKeyError:
                await self.usernames.find_unclaimed(username)
                raise UsernameTaken from None
        return _user(document)

    async def get(self, user_id: str) -> User | None:
        """Return the user, or None."""
        return await self._find({"_id": ObjectId(user_id)})

    async def by_username(self, username: str) -> User | None:
        """Return the user, or None. A user whose deletion has begun is not found."""
        document = await self._named(username)
        return _user(document) if document and not document.get("deleted_at") else None

    async def ids_by_username(self, usernames: Iterable[str]) -> dict[str, str]:
        """Return the ids of those users who exist, by username. A user whose deletion has begun is not found, nor is
        one of an earlier version whose username has not been claimed (see UsernameStore)."""
        holders = await self.usernames.holders(usernames)
        if not holders:
            return {}
        # A claim may be of somebody who does not exist or has another username.
        documents = await find_by_ids(self._users, set(holders.values()), {"username": True}, ACTIVE)
        ids = {document["username"]: document["_id"] for document in documents}
        return {name: str(user_id) for name, user_id in holders.items() if ids.get(name) == user_id}

    async def begin_deletion(self, username: str) -> str | None:
        """Erase the profile and the password, so that the user cannot sign in. Returns the id, or None if not found.

        Can be repeated until `finish_deletion` has freed the username.
        """
        document = await self._named(username)
        if document is None:
            return None
        await self._erase(document, {})
        return str(document["_id"])

    async def request_deletion(self, user_id: str) -> None:
        """Begin the deletion of a user, and mark them so that PendingUserChanges completes it."""
        async with unavailable():
            document = await self._users.find_one({"_id": ObjectId(user_id)}, {"external_id": True})
        if document is not None:
            await self._erase(document, {DELETION_REQUESTED: True})

    async def being_deleted(self, limit: int) -> list[str]:
        """Return the usernames of up to `limit` users whose deletion was requested and is not finished."""
        async with unavailable():
            found = await self._users.find({DELETION_REQUESTED: True}, {"username": True}).to_list(limit)
        return [document["username"] for document in found]

    async def finish_deletion(self, user_id: str, username: str) -> None:
        """Free the username, and one that the user was about to get. Nothing that identifies the user remains."""
        id, replacement = ObjectId(user_id), f"{DELETED_PREFIX}{user_id}"
        # Earlier versions let somebody else register that name.
        while await self.usernames.holder(replacement):
            replacement = f"{DELETED_PREFIX}{new_id()}"
        async with unavailable():
            document = await self._users.find_one({"_id": id}, {"username": True, "claiming": True})
            await self._users.update_one(
                {"_id": id},
                {
                    "$set": {"username": replacement},
                    "$unset": {
                        "external_id": "",
                        "deleted_external_id": "",
                        "claiming": "",
                        DELETION_REQUESTED: "",
                        "roles": "",
                        "ban": "",
                    },
                },
            )
        for name in {username, document["username"], document.get("claiming", username)} if document else ():
            await self.usernames.release(name, id)

    async def change_profile(self, user_id: str, changes: dict[str, Any]) -> User | None:
        """Set these fields. Returns the changed user, or None if not found, or if their deletion has begun.

        Raises UsernameTaken.
        """
        where: Document = {"_id": ObjectId(user_id), **ACTIVE}
        while True:
            if named := not changes.keys().isdisjoint(("username", "display_name")):
                user = await self.get(user_id)
                if user is None or user.is_deleted:
                    if user and changes.get("username", user.profile.username) != user.profile.username:
                        await self.usernames.release(changes["username"], ObjectId(user_id))
                    return None
                names = {**user.profile.model_dump(), **changes}
                terms = user_terms(names["username"], names["display_name"])
                changes = {**changes, "search_terms": terms}
                # The terms are those of both names, of which a concurrent change may set the other.
                where["profile_version"] = user.profile_version or None
                if changes.get("username", user.profile.username) != user.profile.username:
                    if document := await self._rename(user, where, changes):
                        return _user(document)
                    continue
            document = await update_and_find(self._users, where, {"$set": changes, "$inc": {"profile_version": 1}})
            if document or not named:
                return _user(document) if document else None

    async def _rename(self, user: User, where: Document, changes: dict[str, Any]) -> Document | None:
        """Set these fields, the username among them, if the user matches `where`. Return the user; None if not.

        Raises UsernameTaken.
        """
        id, username, former = ObjectId(user.id), changes["username"], user.profile.username
        claiming = {"claiming": username}
        version = await self.usernames.version(former)
        async with unavailable():
            await self._users.update_one({"_id": id, **ACTIVE}, {"$set": claiming})
        try:
            await self.usernames.claim(username, id)
            change = {"$set": changes, "$unset": {"claiming": ""}, "$inc": {"profile_version": 1}}
            document = await update_and_find(self._users, where | claiming | {"username": former}, change)
        except (UsernameTaken, DuplicateKeyError):
            await self.usernames.find_unclaimed(username)
            async with unavailable():
                await self._users.update_one({"_id": id, **claiming}, {"$unset": {"claiming": ""}})
            raise UsernameTaken from None
        if document and version:
            await self.usernames.release(former, id, version)
        return document

    async def set_ban(self, user_id: str, until: datetime | None, by: str | None = None, reason: str = "") -> None:
        """Let nobody sign in as the user until then; None: for ever. PendingUserChanges completes it, unless
        `complete_ban` is called."""
        ban = {"until": until, "pending": True, "at": now(), "by": by, "reason": reason}
        async with unavailable():
            await self._users.update_one({"_id": ObjectId(user_id), **ACTIVE}, {"$set": {"ban": ban}})

    async def banned(self, limit: int, before: tuple[datetime, ObjectId] | None) -> list[tuple[Profile, Ban]]:
        """Return users whose ban is in force, the latest first: `limit`, or those behind the sort key `before`, the
        time of a ban and the user's id."""
        where: Document = {"ban.until": {"$not": {"$lte": now()}}, "ban.at": {"$exists": True}}
        if before:
            moment, last = before
            where["$or"] = [{"ban.at": {"$lt": moment}}, {"ban.at": moment, "_id": {"$lt": last}}]
        async with unavailable():
            cursor = self._users.find(where).sort([("ban.at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
            found: list[Document] = await cursor.to_list(limit)
        return [(_profile(document), _ban(document["ban"])) for document in found]

    async def date_bans(self) -> None:
        """Let `banned` list the bans of earlier versions, which do not say when they were made."""
        async with unavailable():
            await self._users.update_many(
                {"ban": {"$exists": True}, "ban.at": {"$exists": False}}, {"$set": {"ban.at": now()}}
            )

    async def being_banned(self, limit: int) -> list[str]:
        """Return the ids of up to `limit` users whose ban is not complete."""
        async with unavailable():
            found = await self._users.find({BAN_PENDING: True}, {"_id": True}).to_list(limit)
        return [str(document["_id"]) for document in found]

    async def complete_ban(self, user_id: str, ban: "Ban") -> None:
        """Note that nothing is left that the user has had before this ban."""
        async with unavailable():
            await self._users.update_one(
                {"_id": ObjectId(user_id), "ban.until": ban.until}, {"$unset": {BAN_PENDING: ""}}
            )

    async def lift_ban(self, user_id: str) -> None:
        async with unavailable():
            await self._users.update_one({"_id": ObjectId(user_id)}, {"$unset": {"ban": ""}})

    async def set_role(self, user_id: str, role: str, *, on: bool) -> None:
        """Grant a role, or take it away. Idempotent."""
        async with unavailable():
            change = {"$addToSet" if on else "$pull": {"roles": role}}
            await self._users.update_one({"_id": ObjectId(user_id), **ACTIVE}, change)

    async def change_password(self, user: User, password_hash: str) -> bool:
        """Store a new password. Returns False if the password has been changed since `user` was read."""
        async with unavailable():
            result = await self._users.update_one(
                {"_id": ObjectId(user.id), "password_version": user.password_version},
                {
                    "$set": {"password_hash": password_hash},
                    "$inc": {"password_version": 1},
                    "$unset": {"reset_link": ""},
                },
            )
        return bool(result.modified_count)

    async def set_reset_link(self, user_id: str, link: ResetLink) -> None:
        """Store the link with which the user may choose a new password, in place of an earlier one."""
        async with unavailable():
            await self._users.update_one({"_id": ObjectId(user_id), **ACTIVE}, {"$set": {"reset_link": link._asdict()}})

    async def rehash(self, user: User, password_hash: str) -> None:
        """Replace the hash of the same password, unless the password has been changed since `user` was read."""
        async with unavailable():
            await self._users.update_one(
                {"_id": ObjectId(user.id), "password_version": user.password_version},
                {"$set": {"password_hash": password_hash}},
            )

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """Return the profiles of those of `user_ids` that exist or have existed."""
        ids = frozenset(map(ObjectId, user_ids))
        return await (self._reads.submit(ids) if len(ids) <= IDS_PER_READ else self._read_profiles(ids))

    async def _profiles_of_each(self, requests: Sequence[frozenset[ObjectId]]) -> list[dict[str, Profile]]:
        found = await self._read_profiles(set[ObjectId]().union(*requests))
        if len(requests) == 1:
            return [found]
        return [{key: found[key] for key in map(str, ids) if key in found} for ids in requests]

    async def _read_profiles(self, ids: Iterable[ObjectId]) -> dict[str, Profile]:
        documents = await find_by_ids(self._users, ids, PROFILE_FIELDS)
        return {profile.id: profile for profile in map(_profile, documents)}

    async def external_ids(self, user_ids: Iterable[str]) -> dict[str, str]:
        """Return the external ids of those of `user_ids` that have one."""
        ids = {ObjectId(user_id) for user_id in user_ids}
        documents = await find_by_ids(self._users, ids, {"external_id": True})
        return {str(document["_id"]): document["external_id"] for document in documents if "external_id" in document}

    async def showing_presence(self, user_ids: Iterable[str]) -> set[str]:
        """Return those of `user_ids` that exist and show their presence, as all do who have not said otherwise."""
        ids = {ObjectId(user_id) for user_id in user_ids}
        documents = await find_by_ids(self._users, ids, {"_id": True}, {"show_presence": {"$ne": False}})
        return {str(document["_id"]) for document in documents}

    async def active(self, user_ids: Iterable[str]) -> set[str]:
        """Return those of `user_ids` that exist and whose deletion has not begun."""
        ids = {ObjectId(user_id) for user_id in user_ids}
        documents = await find_by_ids(self._users, ids, {"_id": True}, ACTIVE)
        return {str(document["_id"]) for document in documents}

    async def search(self, query: str, limit: int, after: str = "") -> tuple[list[Profile], str | None]:
        """Return a page of the users who match `query`, ordered by username, and the `after` of the next page.

        A user matches if every word of `query` is a prefix of some word of their display name or username, or of their
        username if `query` begins with `@`. See `text.fold` for what is equal. A page of several words can be short or
        empty although there is a next one: see MAX_CANDIDATES.
        """
        terms = query_terms(query)
        if not terms:
            return [], None
        where: Document = {"search_terms": terms[0], "username": {"$gt": after}, **ACTIVE}
        if terms[1:]:
            return await self._filter_candidates(where, set(terms[1:]), limit, after)
        async with unavailable():
            cursor = self._users.find(where, PROFILE_FIELDS).sort(SEARCH_ORDER).limit(limit + 1)
            found = [_profile(document) for document in await cursor.to_list(limit + 1)]
        return found[:limit], found[limit - 1].username if len(found) > limit else None

    async def _filter_candidates(
        self, where: Document, terms: set[str], limit: int, after: str
    ) -> tuple[list[Profile], str | None]:
        """Return a page of the users of `where` who have all `terms`, like `search`."""
        # Not in the query: with `$and`, a database reads all that `where` selects, however few are wanted.
        found: list[Profile] = []
        examined, last = 0, after
        async with unavailable():
            cursor = self._users.find(where, {**PROFILE_FIELDS, "search_terms": True}).sort(SEARCH_ORDER)
            async for document in cursor.limit(MAX_CANDIDATES + 1).batch_size(CANDIDATE_BATCH):
                if examined == MAX_CANDIDATES:
                    return found, last
                if terms.issubset(document["search_terms"]):
                    if len(found) == limit:
                        return found, found[-1].username
                    found.append(_profile(document))
                examined, last = examined + 1, document["username"]
        return found, None

    async def fill_search_terms(self) -> int:
        """Store the search terms of up to `BATCH_SIZE` users who have none; return how many that were.

        Users of earlier versions have none. Until then no search finds them.
        """
        async with unavailable():
            documents = (
                await self._users.find({"search_terms": None}, SEARCH_TERM_SOURCES)
                .limit(BATCH_SIZE)
                .to_list(BATCH_SIZE)
            )
        if documents:
            await update_all(self._users, [_search_terms_update(document) for document in documents])
        return len(documents)

    async def make_searchable(self, user: User) -> None:
        """Store the search terms of a user, unless they have some."""
        terms = user_terms(user.profile.username, user.profile.display_name)
        async with unavailable():
            await self._users.update_one(
                {"_id": ObjectId(user.id), "search_terms": None, **ACTIVE}, {"$set": {"search_terms": terms}}
            )

    async def _erase(self, document: Document, marks: Document) -> None:
        """Begin the deletion of the user, unless it has begun; `marks` are set with it."""
        changes: Document = {**ERASED, **marks, "deleted_at": now()}
        if "external_id" in document:
            # For the webhook: when that is made, the deletion may be finished.
            changes["deleted_external_id"] = document["external_id"]
        async with unavailable():
            await self._users.update_one(
                {"_id": document["_id"], **ACTIVE},
                {
                    "$set": changes,
                    "$unset": {"display_folded": "", "reset_link": ""},
                    "$inc": {"password_version": 1},
                },
            )

    async def _named(self, username: str) -> Document | None:
        """Return the user who has this username, or from whom a deletion that has begun takes it, or None."""
        user_id = await self.usernames.holder(username)
        async with unavailable():
            document: Document | None = await self._users.find_one({"_id": user_id}) if user_id else None
        if document and (document["username"] == username or document.get("deleted_at")):
            return document
        user_id = await self.usernames.find_unclaimed(username)
        async with unavailable():
            return await self._users.find_one({"_id": user_id}) if user_id else None

    async def _find(self, where: Document) -> User | None:
        async with unavailable():
            document = await self._users.find_one(where)
        return _user(document) if document else None


def _search_terms_update(document: Document) -> UpdateOne:
    terms = [] if document.get("deleted_at") else user_terms(document["username"], document["display_name"])
    return UpdateOne({"_id": document["_id"], "search_terms": None}, {"$set": {"search_terms": terms}})


def _profile(document: Document) -> Profile:
    return Profile(
        id=str(document["_id"]),
        username=document["username"],
        display_name=document["display_name"],
        avatar=document["avatar"],
    )


def _ban(stored: Document) -> Ban:
    return Ban(stored["until"], stored.get("at"), stored.get("by"), stored.get("reason", ""))


def _user(document: Document) -> User:
    return User(
        _profile(document),
        document["password_hash"],
        document["password_version"],
        document.get("profile_version", 0),
        document.get("search_terms") is not None,
        document.get("show_presence", True),
        document.get("external_id"),
        document.get("deleted_at") is not None,
        tuple(document.get("roles", ())),
        _ban(document["ban"]) if "ban" in document else None,
        ResetLink(**document["reset_link"]) if "reset_link" in document else None,
    )
