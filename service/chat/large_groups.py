"""Large groups: their participants are in MembershipStore, and their document has only what all readers need."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from weakref import WeakValueDictionary

from bson import ObjectId

from service.chat.group_change import CLEARINGS, UNANNOUNCED_REMOVALS, recorded, versioned
from service.chat.invitation_store import Invitation
from service.chat.members import (
    LARGE,
    Role,
    history_of,
    is_large,
    joining_times,
    participant_count,
    role_of,
)
from service.chat.membership_store import MembershipStore
from service.chat.models import MAX_PARTICIPANTS
from service.chat.system_message import SystemMessage
from service.common.errors import Unavailable, ValidationFailed
from service.common.times import now
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
Change = tuple[Document, list[SystemMessage]]
"""The update that changes a group, and the system messages about it."""
MAX_ATTEMPTS = 100
"""Attempts to finish a change that the database has not confirmed yet."""


class LargeGroups:
    """Changes groups that have, or have had, more than MAX_EMBEDDED participants.

    A change of the participants takes several writes, and the first one decides: it records the change in the
    conversation's document (CHANGE), together with the next version, if the conversation still has the version for
    which the change was allowed. Then the memberships are written, and then the record is removed. In between nobody
    makes another change, and everybody who reads the group completes this one first (`settled`). So nobody sees half
    of a change, and if the process ends, the next reader completes it, or else ConversationAnnouncer.

    The document has the number of participants, the first ones, and the roles: `owner_id` and `admins`, as GroupStore
    describes them. `next_place` is the place of who joins next.

    The methods that change a group return it, or None if the user may not do that. All raise Unavailable.
    """

    def __init__(self, conversations: MongoCollection, memberships: MembershipStore) -> None:
        self._collection = conversations
        self._committed = committed_reads(conversations)
        self._memberships = memberships
        # Kept only as long as somebody uses them. One process makes its changes of a group one after the other, and
        # completes each of them once, however many read the group meanwhile.
        self._changing: WeakValueDictionary[ObjectId, asyncio.Lock] = WeakValueDictionary()
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

    async def change(self, conversation: Document, user_id: ObjectId, fields: Document) -> Document | None:
        """As GroupStore.change."""
        allowed: Document = {"$or": [{"owner_id": user_id}, {"admins": user_id}]}
        unchanged = {name: conversation.get(name) for name in fields}
        messages = [SystemMessage.renamed(user_id, fields["title"])] if "title" in fields else []
        return await self._update(
            {"_id": conversation["_id"], LARGE: True, **allowed, **unchanged}, {"$set": fields}, *messages
        )

    async def add(self, conversation: Document, user_id: ObjectId, new: Sequence[ObjectId]) -> Document | None:
        """As GroupStore.add."""

        async def allowed(current: Document) -> Change | None:
            if role_of(current, user_id) == "member" or current.get("history") != conversation.get("history"):
                return None
            if await self._memberships.of_group(current["_id"], new):
                return None
            if participant_count(current) + len(new) > MAX_PARTICIPANTS:
                raise ValidationFailed.of("user_ids", f"A conversation has at most {MAX_PARTICIPANTS} participants.")
            return _joining(conversation, current, new), [SystemMessage.of_users("joined", user_id, new)]

        return await self._decide(conversation["_id"], allowed)

    async def join(self, conversation: Document, user_id: ObjectId, invitation: Invitation) -> Document | None:
        """As GroupStore.join."""

        async def allowed(current: Document) -> Change | None:
            known = await self._memberships.of_group(current["_id"], [user_id])
            if (
                role_of(current, invitation.inviter_id) == "member"
                or not readmits(known.get(user_id), invitation)
                or participant_count(current) >= MAX_PARTICIPANTS
                or current.get("history") != conversation.get("history")
            ):
                return None
            return _joining(conversation, current, [user_id]), [SystemMessage.of_users("joined", user_id, [user_id])]

        return await self._decide(conversation["_id"], allowed)

    async def remove(self, conversation_id: ObjectId, user_id: ObjectId, member: ObjectId) -> Document | None:
        """As GroupStore.remove."""

        async def allowed(current: Document) -> Change | None:
            role = role_of(current, user_id)
            if role == "member" or (role == "admin" and role_of(current, member) != "member"):
                return None
            if await self._memberships.find(conversation_id, member) is None:
                return None
            return _leaving(member, now()), [SystemMessage.of_users("removed", user_id, [member])]

        return await self._decide(conversation_id, allowed)

    async def leave(self, conversation_id: ObjectId, user_id: ObjectId) -> Document | None:
        """As GroupStore.leave."""

        async def allowed(current: Document) -> Change | None:
            if await self._memberships.find(conversation_id, user_id) is None:
                return None
            change, messages = _leaving(user_id, None), [SystemMessage.left(user_id)]
            successor = await self._successor(current, user_id) if current["owner_id"] == user_id else None
            if successor is not None:
                change["$set"]["owner_id"] = successor
                messages.append(SystemMessage.of_users("role", user_id, [successor], "owner"))
            return change, messages

        return await self._decide(conversation_id, allowed)

    async def set_role(
        self, conversation_id: ObjectId, user_id: ObjectId, member: ObjectId, role: Role
    ) -> Document | None:
        """As GroupStore.set_role."""

        async def allowed(current: Document) -> Change | None:
            if current["owner_id"] != user_id or role_of(current, member) == role:
                return None
            if await self._memberships.find(conversation_id, member) is None:
                return None
            messages = [SystemMessage.of_users("role", user_id, [member], role)]
            if role == "owner":
                return {"$set": {"owner_id": member}, "$addToSet": {"admins": user_id}}, messages
            return {"$pull" if role == "member" else "$addToSet": {"admins": member}}, messages

        return await self._decide(conversation_id, allowed)

    async def clear_history(self, conversation_id: ObjectId, user_id: ObjectId, seq: int) -> Document | None:
        """As ConversationStore.clear_history. The others get no event."""

        async def allowed(current: Document) -> Change | None:
            if await self._memberships.find(conversation_id, user_id) is None:
                return None
            return {"$set": {CHANGE: {"cleared": user_id, "start": seq}}, "$inc": {CLEARINGS: 1}}, []

        return await self._decide(conversation_id, allowed, announced=False)

    async def _successor(self, current: Document, owner: ObjectId) -> ObjectId | None:
        """See `members.successor_of`."""
        admins = [member for member in current.get("admins", ()) if member != owner]
        if admins:
            found = await self._memberships.of_group(current["_id"], admins)
            return min(found, key=lambda member: int(found[member]["place"]))
        members = await self._memberships.page(current["_id"], 0, current["next_place"], 2)
        others: list[ObjectId] = [member["user_id"] for member in members if member["user_id"] != owner]
        return others[0] if others else None

    async def _decide(
        self,
        conversation_id: ObjectId,
        allowed: Callable[[Document], Awaitable[Change | None]],
        *,
        announced: bool = True,
    ) -> Document | None:
        """Make the change that `allowed(current)` returns, and return the group; None if it returns None, or if there
        is no such large group. A change is allowed for one version of the group, and made if it still has that."""
        collisions = 0
        async with self._changing.setdefault(conversation_id, asyncio.Lock()):
            while True:
                current = await self.current(conversation_id)
                decided = await allowed(current) if current is not None else None
                if current is None or decided is None:
                    return None
                change, messages = decided
                if CHANGE in change.get("$set", {}):
                    change["$set"][CHANGE]["version"] = current["version"] + 1
                where = {"_id": conversation_id, "version": current["version"], CHANGE: {"$exists": False}}
                changed = await self._update(where, change, *messages, announced=announced)
                if changed is not None:
                    return changed
                collisions += 1
                await back_off(collisions)

    async def _update(
        self, where: Document, change: Document, *messages: SystemMessage, announced: bool = True
    ) -> Document | None:
        update = recorded(change, *messages) if announced else versioned(change)
        changed = await update_and_find(self._collection, where, update)
        return await self.settled(changed) if changed is not None else None

    async def current(self, conversation_id: ObjectId) -> Document | None:
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


def readmits(membership: Document | None, invitation: Invitation) -> bool:
    """Return whether a user with this membership, or none, may join by the invitation: they are no participant, and
    were not removed since."""
    if membership is None:
        return True
    removed_at: datetime | None = membership.get("removed_at")
    return "place" not in membership and (removed_at is None or removed_at < invitation.created_at)


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


def _joining(conversation: Document, current: Document, new: Sequence[ObjectId]) -> Document:
    added: Document = {"users": list(new), "place": current["next_place"], "at": now()}
    if last_seq := conversation["last"]["seq"]:
        # To new participants, earlier messages do not count as unread; what they do not see, they have read.
        added["read" if history_of(conversation) == "all" else "start"] = last_seq
    return {"$set": {CHANGE: {"added": added}}, "$inc": {"participant_count": len(new), "next_place": len(new)}}


def _added(users: list[ObjectId], place: int, at: datetime, **numbers: int) -> list[Document]:
    return [
        {"user_id": user_id, "place": place + index, "joined_at": at, **numbers} for index, user_id in enumerate(users)
    ]


def _leaving(member: ObjectId, removed_at: datetime | None) -> Document:
    return {
        "$set": {CHANGE: {"removed": member, "removed_at": removed_at}},
        "$inc": {"participant_count": -1},
        "$pull": {"admins": member},
        "$addToSet": {UNANNOUNCED_REMOVALS: member},
    }
