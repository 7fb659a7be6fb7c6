"""Large groups: their participants are in MembershipStore, and their document has only what all readers need."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from weakref import WeakValueDictionary

from bson import ObjectId

from service.chat.group_change import recorded
from service.chat.members import LARGE, is_large, joining_times, shows_read_marks
from service.chat.membership_store import MembershipStore
from service.common.errors import Unavailable
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, committed_reads, unavailable
from service.datastores.optimistic_append import back_off
from service.datastores.update_and_find import update_and_find

MAX_EMBEDDED = 100
"""Participants of a group whose document lists them. It also has their read marks, which all of them are shown, and an
index entry for each of them, which every message rewrites. In a larger group nobody is shown the others' read marks."""
MAX_FIRST = 100
"""Participants that the document of a large group lists: those who are shown with the conversation."""
FIRST = "first_participants"
"""The stored field with them, in the order of joining."""
CHANGE = "membership_change"
"""The stored field with a change of the participants that has been decided and may not be in MembershipStore yet."""
MAX_ATTEMPTS = 100
"""Attempts to finish a change that the database has not confirmed yet."""


class LargeGroups:
    """Reads groups that have, or have had, more than MAX_EMBEDDED participants, and completes their changes.

    A change of the participants (see LargeGroupChanges) takes several writes, and the first one decides: it records the
    change in the conversation's document (CHANGE), together with the next version, if the conversation still has the
    version for which the change was allowed. Then the memberships are written, and then the record is removed. In
    between nobody makes another change, and everybody who reads the group completes this one first (`settled`). So
    nobody sees half of a change, and if the process ends, the next reader completes it, or else ConversationAnnouncer.

    The document has the number of participants, the first ones, and the roles: `owner_id` and `admins`, as GroupStore
    describes them. `next_place` is the place of who joins next.

    All methods raise Unavailable.
    """

    def __init__(self, conversations: MongoCollection, memberships: MembershipStore) -> None:
        self._collection = conversations
        self._committed = committed_reads(conversations)
        self._memberships = memberships
        # Kept only as long as somebody uses them. One process completes a change once, however many read the group.
        self._settling: WeakValueDictionary[ObjectId, asyncio.Lock] = WeakValueDictionary()

    async def settled(self, document: Document) -> Document:
        """Return a stored conversation without an incomplete change; a large group with its first participants."""
        if CHANGE in document:
            async with self._settling.setdefault(document["_id"], asyncio.Lock()):
                document = await self._settle(document["_id"])
        return document | {"participants": document[FIRST]} if is_large(document) else document

    async def complete(self, document: Document) -> Document:
        """Return the group with all participants, their read marks and their starts."""
        document = await self.settled(document)
        memberships = await self._memberships.all(document["_id"])
        return document | {
            "participants": [membership["user_id"] for membership in memberships],
            "reads": {str(each["user_id"]): each["read"] for each in memberships if "read" in each},
            "starts": {str(each["user_id"]): each["start"] for each in memberships if "start" in each},
        }

    async def read(
        self, conversation_ids: Collection[ObjectId], fields: Document | None = None
    ) -> dict[ObjectId, Document]:
        """Return those of the conversations that are large groups, by id, without incomplete changes."""
        if fields is not None:
            fields = fields | {LARGE: 1, CHANGE: 1, FIRST: 1}
        found = await find_by_ids(self._collection, conversation_ids, fields, {LARGE: True})
        return {document["_id"]: await self.settled(document) for document in found}

    async def read_for(
        self, user_id: ObjectId, conversation_ids: Collection[ObjectId], fields: Document | None = None
    ) -> dict[ObjectId, Document]:
        """Like `read`, of the groups in which `user_id` is a participant; with what is their own."""
        groups = await self.read(conversation_ids, fields)
        memberships = await self._memberships.of_groups(user_id, groups.keys())
        return {each["conversation_id"]: _with_own(groups[each["conversation_id"]], each) for each in memberships}

    async def seen_by(self, user_id: ObjectId, document: Document) -> Document | None:
        """Return a conversation with what is `user_id`'s own, or, if read marks are shown, with those of all.

        None if it is a large group and they are not a participant of it. They are one after `document` was read, so it
        has nothing that is newer than a removal.
        """
        if not is_large(document):
            return document
        document = await self.settled(document)
        if shows_read_marks(document):
            document = await self.complete(document)
            return document if user_id in document["participants"] else None
        membership = await self._memberships.find(document["_id"], user_id)
        return _with_own(document, membership) if membership is not None else None

    async def create(self, document: Document) -> Document:
        """Store a new group, with any number of participants."""
        document = document | _large(document, 0)
        async with unavailable():
            await self._collection.insert_one(document)
        return await self.settled(document)

    async def convert(self, conversation_id: ObjectId) -> None:
        """Make a group a large one, unless it is one."""
        collisions = 0
        while True:
            async with unavailable():
                found = await self._collection.find_one({"_id": conversation_id, "kind": "group"})
            if found is None or is_large(found):
                return
            version = found.get("version", 0) + 1
            change = recorded({"$set": _large(found, version)})
            where = {"_id": conversation_id, "version": found.get("version")}
            changed = await update_and_find(self._collection, where, change)
            if changed is not None:
                await self.settled(changed)
                return
            collisions += 1
            await back_off(collisions)

    async def carry_over(self) -> None:
        """Make large groups of those with more than MAX_EMBEDDED participants, which earlier versions have stored, and
        complete all changes. Idempotent."""
        for where in ({f"participants.{MAX_EMBEDDED}": {"$exists": True}}, {CHANGE: {"$exists": True}}):
            async with unavailable():
                found = await self._collection.find(where, {"_id": 1}).to_list(None)
            for document in found:
                await self.convert(document["_id"])
                await self.current(document["_id"])

    async def current(self, conversation_id: ObjectId) -> Document | None:
        """Return the group as it is now; None if there is no large one with this id."""
        async with unavailable():
            found = await self._collection.find_one({"_id": conversation_id, LARGE: True})
        return await self.settled(found) if found is not None else None

    async def _settle(self, conversation_id: ObjectId) -> Document:
        """Complete the recorded change, if there is one; return the conversation."""
        for _ in range(MAX_ATTEMPTS):
            async with unavailable():
                # What a fail-over can take back must not get into the memberships, which may be on other servers.
                found = await self._committed.find_one({"_id": conversation_id})
                if found is not None and CHANGE in found:
                    await self._apply(found)
                current: Document | None = await self._collection.find_one({"_id": conversation_id})
            if current is not None and CHANGE not in current:
                return current
            await asyncio.sleep(0.01)
        raise Unavailable("Others are changing the group.")

    async def _apply(self, document: Document) -> None:
        """Write the memberships of the recorded change, and remove the record. Others may do the same at once."""
        change, key = document[CHANGE], document["_id"]
        version = change["version"]
        if "created" in change:
            await self._memberships.insert(key, version, _carried(document, change["created"]))
        if "added" in change:
            await self._memberships.insert(key, version, _added(**change["added"]))
        if "removed" in change:
            await self._memberships.end(key, change["removed"], version, change["removed_at"])
        if "cleared" in change:
            await self._memberships.clear(key, change["cleared"], version, change["start"])
        first = await self._memberships.page(key, 0, document["next_place"], MAX_FIRST)
        done: Document = {
            "$set": {FIRST: [membership["user_id"] for membership in first]},
            "$unset": dict.fromkeys((CHANGE, "reads", "starts", "joined", "former"), ""),
        }
        await self._collection.update_one({"_id": key, f"{CHANGE}.version": version}, done)


def add_own(document: Document, membership: Document) -> None:
    """Add to a large group what is a participant's own."""
    for name, own in (("reads", "read"), ("starts", "start")):
        document.setdefault(name, {})[str(membership["user_id"])] = membership.get(own, 0)


def _with_own(document: Document, membership: Document) -> Document:
    """Return a large group with what is a participant's own."""
    document = {**document, "reads": {}, "starts": {}}
    add_own(document, membership)
    return document


def _large(document: Document, version: int) -> Document:
    """Return the fields that make a group a large one."""
    participants = document["participants"]
    return {
        LARGE: True,
        # Not absent: processes of earlier versions find nobody in the group, and change nothing.
        "participants": [],
        FIRST: participants[:MAX_FIRST],
        "participant_count": len(participants),
        "next_place": len(participants),
        CHANGE: {"version": version, "created": participants},
    }


def _carried(document: Document, participants: list[ObjectId]) -> list[Document]:
    """Return the memberships that the document of a group described before it became a large one."""
    times = joining_times(document | {"participants": participants})
    reads, starts = document.get("reads", {}), document.get("starts", {})
    memberships: list[Document] = []
    for place, user_id in enumerate(participants):
        membership = {"user_id": user_id, "place": place, "joined_at": times[user_id]}
        if read := reads.get(str(user_id)):
            membership["read"] = read
        if start := starts.get(str(user_id)):
            membership["start"] = start
        memberships.append(membership)
    former = {entry["user"]: entry["removed_at"] for entry in document.get("former", ())}
    for user_id in former.keys() - set(participants):
        memberships.append({"user_id": user_id, "removed_at": former[user_id]})
    return memberships


def _added(users: list[ObjectId], place: int, at: datetime, **numbers: int) -> list[Document]:
    return [
        {"user_id": user_id, "place": place + index, "joined_at": at, **numbers} for index, user_id in enumerate(users)
    ]
