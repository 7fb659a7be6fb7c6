"""The changes of large groups: who may make them, and what is recorded of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from weakref import WeakValueDictionary

from bson import ObjectId

from service.chat.group_change import CLEARINGS, UNANNOUNCED_REMOVALS, recorded, versioned
from service.chat.invitation_store import Invitation
from service.chat.large_groups import CHANGE, LargeGroups
from service.chat.members import LARGE, Role, history_of, participant_count, role_of
from service.chat.membership_store import MembershipStore
from service.chat.models import MAX_PARTICIPANTS
from service.chat.system_message import SystemMessage
from service.common.errors import ValidationFailed
from service.common.times import now
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document
from service.datastores.optimistic_append import back_off
from service.datastores.update_and_find import update_and_find

Change = tuple[Document, list[SystemMessage]]
"""The update that changes a group, and the system messages about it."""


class LargeGroupChanges:
    """Changes large groups, as GroupStore describes it. How a change is made: see LargeGroups.

    Each method returns the changed group, or None if the user may not do that. All raise Unavailable.
    """

    def __init__(self, conversations: MongoCollection, memberships: MembershipStore, groups: LargeGroups) -> None:
        self._collection = conversations
        self._memberships = memberships
        self._groups = groups
        # Kept only as long as somebody uses them. One process makes its changes of a group one after the other.
        self._changing: WeakValueDictionary[ObjectId, asyncio.Lock] = WeakValueDictionary()

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
            # Who has left since `current` was read has no place; the change is then decided again.
            present = [member for member in found if "place" in found[member]]
            if present:
                return min(present, key=lambda member: int(found[member]["place"]))
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
                current = await self._groups.current(conversation_id)
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
        return await self._groups.settled(changed) if changed is not None else None


def readmits(membership: Document | None, invitation: Invitation) -> bool:
    """Return whether a user with this membership, or none, may join by the invitation: they are no participant, and
    were not removed since."""
    if membership is None:
        return True
    removed_at: datetime | None = membership.get("removed_at")
    return "place" not in membership and (removed_at is None or removed_at < invitation.created_at)


def _joining(conversation: Document, current: Document, new: Sequence[ObjectId]) -> Document:
    added: Document = {"users": list(new), "place": current["next_place"], "at": now()}
    if last_seq := conversation["last"]["seq"]:
        # To new participants, earlier messages do not count as unread; what they do not see, they have read.
        added["read" if history_of(conversation) == "all" else "start"] = last_seq
    return {"$set": {CHANGE: {"added": added}}, "$inc": {"participant_count": len(new), "next_place": len(new)}}


def _leaving(member: ObjectId, removed_at: datetime | None) -> Document:
    return {
        "$set": {CHANGE: {"removed": member, "removed_at": removed_at}},
        "$inc": {"participant_count": -1},
        "$pull": {"admins": member},
        "$addToSet": {UNANNOUNCED_REMOVALS: member},
    }
