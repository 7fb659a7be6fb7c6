"""The writes that change a group: title, participants, roles. Each checks in its own query that the user may do it."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from service.chat import large_groups
from service.chat.group_change import PENDING_MESSAGES, UNANNOUNCED_REMOVALS, recorded
from service.chat.invitation_store import Invitation
from service.chat.large_group_changes import LargeGroupChanges, readmits
from service.chat.large_groups import LargeGroups
from service.chat.members import (
    Role,
    history_of,
    is_large,
    role_of,
    successor_of,
)
from service.chat.membership_store import MembershipStore
from service.chat.system_message import SystemMessage
from service.common.errors import Unavailable
from service.common.times import now
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, unavailable, update_all
from service.datastores.update_and_find import update_and_find

MAX_FORMER = 2000
"""Users who have left and are remembered: the last ones."""
MAX_JOINED = 2000
"""Entries of `joined`. A user who joins alone has an entry that ends with their membership."""
MAX_ATTEMPTS = 10
"""Attempts of an owner to leave while others change the group."""


class GroupStore:
    """Changes groups in the collection of ConversationStore: itself those whose document lists the participants, and
    the others by LargeGroups.

    `owner_id` is the owner; `admins` has the admins, and may have the owner. All are participants: the write that
    removes a participant also removes their role, and the write that removes the owner also sets the successor.
    `former` has those who have left ({user, removed_at}; the time is None if they left by themselves): they join again
    only by an invitation.

    A method returns the changed conversation, or None if the user may not do that. All raise Unavailable.
    """

    def __init__(self, conversations: MongoCollection, memberships: MembershipStore) -> None:
        self._collection = conversations
        self._memberships = memberships
        self.large = LargeGroups(conversations, memberships)
        self.large_changes = LargeGroupChanges(conversations, memberships, self.large)

    async def change(self, conversation: Document, user_id: ObjectId, fields: Document) -> Document | None:
        """Set `fields`, if `user_id` is the owner or an admin, and none of them was changed meanwhile."""
        if is_large(conversation):
            return await self.large_changes.change(conversation, user_id, fields)
        unchanged = {name: conversation.get(name) for name in fields}
        messages = [SystemMessage.renamed(user_id, fields["title"])] if "title" in fields else []
        return await self._update(conversation["_id"], _managed_by(user_id) | unchanged, {"$set": fields}, *messages)

    async def add(self, conversation: Document, user_id: ObjectId, new: Sequence[ObjectId]) -> Document | None:
        """Add the users `new`, none of whom is a participant, if `user_id` is the owner or an admin.

        The counters of `conversation` must have all messages that are stored: the new users see those stored later, and
        the earlier ones only if the group's history is open to them.

        Raises ValidationFailed if it would exceed MAX_PARTICIPANTS.
        """
        if role_of(conversation, user_id) == "member":
            return None
        if await self._becomes_large(conversation, len(new)):
            return await self.large_changes.add(conversation, user_id, new)
        return await self._update(
            conversation["_id"],
            _managed_by(user_id)
            | {"participants": {"$all": [user_id], "$nin": list(new)}, "former.user": {"$nin": list(new)}}
            | _room_for(conversation, new),
            _joining(conversation, new),
            SystemMessage.of_users("joined", user_id, list(new)),
        )

    async def join(self, conversation: Document, user_id: ObjectId, invitation: Invitation) -> Document | None:
        """Add `user_id`, if the invitation admits them. The counters of `conversation`: as for `add`."""
        if await self._becomes_large(conversation, 1):
            return await self.large_changes.join(conversation, user_id, invitation)
        inviter = invitation.inviter_id
        removed_since = {"user": user_id, "removed_at": {"$gte": invitation.created_at}}
        allowed: Document = _managed_by(inviter) | {
            "participants": {"$all": [inviter], "$nin": [user_id]},
            "former": {"$not": {"$elemMatch": removed_since}},
        }
        change = _joining(conversation, [user_id]) | {"$pull": {"former": {"user": user_id}}}
        return await self._update(
            conversation["_id"],
            allowed | _room_for(conversation, [user_id]),
            change,
            SystemMessage.of_users("joined", user_id, [user_id]),
        )

    async def _becomes_large(self, conversation: Document, new: int) -> bool:
        """Return whether the group is a large one; make it one if it has no room for the new users else."""
        if not is_large(conversation):
            if len(conversation["participants"]) + new <= large_groups.MAX_EMBEDDED:
                return False
            await self.large.convert(conversation["_id"])
        return True

    async def remove(self, conversation_id: ObjectId, user_id: ObjectId, member: ObjectId) -> Document | None:
        """Remove `member`. The owner may remove everyone, an admin those who have no role."""
        allowed: Document = {
            "participants": {"$all": [user_id, member]},
            "$or": [
                {"owner_id": user_id},
                {"owner_id": {"$ne": member}, "admins": {"$all": [user_id], "$ne": member}},
            ],
        }
        changed = await self._update(
            conversation_id,
            allowed,
            _leaving(member, removed_at=now()),
            SystemMessage.of_users("removed", user_id, [member]),
        )
        if changed is None:
            return await self.large_changes.remove(conversation_id, user_id, member)
        await self._forget_joining(conversation_id, member)
        return changed

    async def leave(self, conversation_id: ObjectId, user_id: ObjectId) -> Document | None:
        """Remove the participant `user_id`. If they are the owner, their successor becomes it in the same write."""
        for _ in range(MAX_ATTEMPTS):
            async with unavailable():
                found: Document | None = await self._collection.find_one(
                    {"_id": conversation_id, "participants": user_id}
                )
            if found is None:
                return await self.large_changes.leave(conversation_id, user_id)
            # The successor is the right one as long as nobody joins, leaves or gets a role: each is a new version.
            where: Document = {"participants": user_id, "version": found.get("version")}
            change = _leaving(user_id)
            messages = [SystemMessage.left(user_id)]
            successor = successor_of(found, user_id)
            if found["owner_id"] != user_id:
                where = {"participants": user_id, "owner_id": {"$ne": user_id}}
            elif successor is not None:
                change["$set"] = {"owner_id": successor}
                messages.append(SystemMessage.of_users("role", user_id, [successor], "owner"))
            changed = await self._update(conversation_id, where, change, *messages)
            if changed is not None:
                await self._forget_joining(conversation_id, user_id)
            if changed is not None or found["kind"] != "group":
                return changed
        raise Unavailable

    async def set_role(
        self, conversation_id: ObjectId, user_id: ObjectId, member: ObjectId, role: Role
    ) -> Document | None:
        """Give another participant a role, if `user_id` is the owner, who becomes an admin if the role is `owner`."""
        allowed: Document = {"owner_id": user_id, "participants": {"$all": [user_id, member]}}
        change: Document = {"$pull" if role == "member" else "$addToSet": {"admins": member}}
        if role != "owner":
            allowed["admins"] = member if role == "member" else {"$ne": member}
        else:
            change = {"$set": {"owner_id": member}, "$addToSet": {"admins": user_id}}
        message = SystemMessage.of_users("role", user_id, [member], role)
        changed = await self._update(conversation_id, allowed, change, message)
        return changed or await self.large_changes.set_role(conversation_id, user_id, member, role)

    async def remove_pending(self, conversation_id: ObjectId, message_ids: Sequence[ObjectId]) -> None:
        """Forget these pending system messages: they have been appended."""
        async with unavailable():
            await self._collection.update_one(
                {"_id": conversation_id}, {"$pull": {PENDING_MESSAGES: {"id": {"$in": message_ids}}}}
            )

    async def forget(self, user_id: ObjectId) -> None:
        """Erase that `user_id`, who is being deleted, has been in any group."""
        async with unavailable():
            # Not in one update: the path of the first one has to exist.
            await self._collection.update_many(
                {"former.user": user_id, "joined.users": user_id}, {"$pull": {"joined.$[].users": user_id}}
            )
            await self._collection.update_many({"former.user": user_id}, {"$pull": {"former": {"user": user_id}}})
        await self._memberships.forget(user_id)

    async def _forget_joining(self, conversation_id: ObjectId, member: ObjectId) -> None:
        """Erase when a user joined, with others, who has left: who adds thousands and removes them, again and again,
        would else fill the document."""
        with suppress(Unavailable):
            # Not in the update that removes them: an update changes a field only once.
            await update_all(
                self._collection,
                [
                    UpdateOne(
                        {"_id": conversation_id, "participants": {"$ne": member}, "joined.users": member},
                        {"$pull": {"joined.$[].users": member}},
                    )
                ],
            )

    async def admits(self, conversation: Document, user_id: ObjectId, invitation: Invitation) -> bool:
        """Return whether the invitation lets `user_id` in: what `join` decides, but for the room that there is."""
        inviter = invitation.inviter_id
        if role_of(conversation, inviter) == "member":
            return False
        if is_large(conversation):
            known = await self._memberships.of_group(conversation["_id"], [user_id])
            return "place" in known.get(user_id, ()) or readmits(known.get(user_id), invitation)
        removals = [entry["removed_at"] for entry in conversation.get("former", ()) if entry["user"] == user_id]
        is_present = inviter in conversation["participants"]
        return is_present and all(at is None or at < invitation.created_at for at in removals)

    async def present(self, conversation: Document, user_ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of the users who are participants."""
        if is_large(conversation):
            known = await self._memberships.of_group(conversation["_id"], user_ids)
            return {user_id for user_id, membership in known.items() if "place" in membership}
        return set(user_ids).intersection(conversation["participants"])

    async def left(self, conversation: Document, user_ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Return those of the users who have left the group, or were removed from it, and have not joined it again."""
        if is_large(conversation):
            known = await self._memberships.of_group(conversation["_id"], user_ids)
            return {user_id for user_id, membership in known.items() if "place" not in membership}
        return {entry["user"] for entry in conversation.get("former", ())}.intersection(user_ids)

    async def repair_owner(self, conversation_id: ObjectId, old: ObjectId, new: ObjectId) -> None:
        """Make participant `new` the owner, if `old` still is one who has left. See `members.owner_of`."""
        async with unavailable():
            await self._collection.update_one(
                {"_id": conversation_id, "owner_id": old, "participants": {"$all": [new], "$ne": old}},
                {"$set": {"owner_id": new}},
            )

    async def _update(
        self, conversation_id: ObjectId, wanted: Document, change: Document, *messages: SystemMessage
    ) -> Document | None:
        """Change the group. `messages` are appended by the announcement of the change (see ConversationAnnouncer)."""
        where = {"_id": conversation_id, "kind": "group", **wanted}
        return await update_and_find(self._collection, where, recorded(change, *messages))


def _managed_by(user_id: ObjectId) -> Document:
    """Groups in which `user_id` is a participant and the owner or an admin."""
    return {"participants": user_id, "$or": [{"owner_id": user_id}, {"admins": user_id}]}


def _room_for(conversation: Document, new: Sequence[ObjectId]) -> Document:
    """Groups that can list the users `new`, too, and have the `history` of `conversation`, on which depends what they
    see.

    Evaluated by the database together with the update: others may change the group at the same time.
    """
    max_before = large_groups.MAX_EMBEDDED - len(new)
    return {f"participants.{max_before}": {"$exists": False}, "history": conversation.get("history")}


def _joining(conversation: Document, new: Sequence[ObjectId]) -> Document:
    last_seq = conversation["last"]["seq"]
    change: Document = {
        # Not `$addToSet`: on the embedded server, adding a thousand takes seconds.
        "$push": {
            "participants": {"$each": list(new)},
            "joined": {"$each": [{"at": now(), "users": list(new)}], "$slice": -MAX_JOINED},
        },
    }
    if last_seq:
        # To new participants, earlier messages do not count as unread; what they do not see, they have read.
        kind = "reads" if history_of(conversation) == "all" else "starts"
        change["$max"] = {f"{kind}.{member}": last_seq for member in new}
    return change


def _leaving(member: ObjectId, removed_at: datetime | None = None) -> Document:
    return {
        "$push": {"former": {"$each": [{"user": member, "removed_at": removed_at}], "$slice": -MAX_FORMER}},
        "$pull": {"participants": member, "admins": member, "joined": {"users": {"$in": [[member], []]}}},
        "$unset": {f"reads.{member}": 1, f"starts.{member}": 1},
        "$addToSet": {UNANNOUNCED_REMOVALS: member},
    }
