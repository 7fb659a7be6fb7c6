"""The writes that change a group: title, participants, roles. Each checks in its own query that the user may do it."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from service.chat.invitation_store import Invitation
from service.chat.members import Role, history_of, role_of, successor_of
from service.chat.models import MAX_PARTICIPANTS
from service.chat.system_message import SystemMessage
from service.common.errors import Unavailable, ValidationFailed
from service.common.times import now
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, unavailable, update_all
from service.datastores.update_and_find import update_and_find

UNANNOUNCED = "unannounced"
"""The stored field that marks a conversation with a change that may not have been published: the time of the change."""
CHANGED_AT = "changed_at"
"""The stored field with the time of the last version. Who has lost the history of changes finds them by it."""
UNANNOUNCED_REMOVALS = "unannounced_removals"
"""Stored with it: the users who were removed, if that may not have been published to them."""
PENDING_MESSAGES = "pending_messages"
"""Stored with it: the system messages that may not have been appended yet. Each is there until it has been."""
MAX_FORMER = 2000
"""Users who have left and are remembered: the last ones."""
MAX_JOINED = 2000
"""Entries of `joined`. A user who joins alone has an entry that ends with their membership."""
MAX_ATTEMPTS = 10
"""Attempts of an owner to leave while others change the group."""


class GroupStore:
    """Changes groups in the collection of ConversationStore.

    `owner_id` is the owner; `admins` has the admins, and may have the owner. All are participants: the write that
    removes a participant also removes their role, and the write that removes the owner also sets the successor.
    `former` has those who have left ({user, removed_at}; the time is None if they left by themselves): they join again
    only by an invitation.

    A method returns the changed conversation, or None if the user may not do that. All raise Unavailable.
    """

    def __init__(self, conversations: MongoCollection) -> None:
        self._collection = conversations

    async def change(self, conversation: Document, user_id: ObjectId, fields: Document) -> Document | None:
        """Set `fields`, if `user_id` is the owner or an admin, and none of them was changed meanwhile."""
        unchanged = {name: conversation.get(name) for name in fields}
        messages = [SystemMessage.renamed(user_id, fields["title"])] if "title" in fields else []
        return await self._update(conversation["_id"], _managed_by(user_id) | unchanged, {"$set": fields}, *messages)

    async def add(self, conversation: Document, user_id: ObjectId, new: Collection[ObjectId]) -> Document | None:
        """Add the users `new`, none of whom is a participant, if `user_id` is the owner or an admin.

        The counters of `conversation` must have all messages that are stored: the new users see those stored later, and
        the earlier ones only if the group's history is open to them.

        Raises ValidationFailed if it would exceed MAX_PARTICIPANTS.
        """
        full = ValidationFailed.of("user_ids", f"A conversation has at most {MAX_PARTICIPANTS} participants.")
        if len(new) > MAX_PARTICIPANTS:
            raise full
        changed = await self._update(
            conversation["_id"],
            _managed_by(user_id)
            | {"participants": {"$all": [user_id], "$nin": list(new)}, "former.user": {"$nin": list(new)}}
            | _room_for(conversation, new),
            _joining(conversation, new),
            SystemMessage.of_users("joined", user_id, list(new)),
        )
        if changed is None and len(conversation["participants"]) + len(new) > MAX_PARTICIPANTS:
            raise full
        return changed

    async def join(self, conversation: Document, user_id: ObjectId, invitation: Invitation) -> Document | None:
        """Add `user_id`, if the invitation admits them. The counters of `conversation`: as for `add`."""
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
        if changed is not None:
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
                return None
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
        return await self._update(conversation_id, allowed, change, message)

    async def remove_pending(self, conversation_id: ObjectId, message_ids: Collection[ObjectId]) -> None:
        """Forget these pending system messages: they have been appended."""
        async with unavailable():
            await self._collection.update_one(
                {"_id": conversation_id}, {"$pull": {PENDING_MESSAGES: {"id": {"$in": list(message_ids)}}}}
            )

    async def forget(self, user_id: ObjectId) -> None:
        """Erase that `user_id`, who is being deleted, has been in any group."""
        async with unavailable():
            # Not in one update: the path of the first one has to exist.
            await self._collection.update_many(
                {"former.user": user_id, "joined.users": user_id}, {"$pull": {"joined.$[].users": user_id}}
            )
            await self._collection.update_many({"former.user": user_id}, {"$pull": {"former": {"user": user_id}}})

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
        times = dict.fromkeys((UNANNOUNCED, CHANGED_AT), now())
        change = {**change, "$set": {**change.get("$set", {}), **times}, "$inc": {"version": 1}}
        if messages:
            pending = {"$each": [message.as_document() for message in messages]}
            change["$push"] = {**change.get("$push", {}), PENDING_MESSAGES: pending}
        return await update_and_find(self._collection, {"_id": conversation_id, "kind": "group", **wanted}, change)


def admits(conversation: Document, user_id: ObjectId, invitation: Invitation) -> bool:
    """Return whether the invitation lets `user_id` in: what `join` decides, but for the room that there is."""
    inviter = invitation.inviter_id
    if inviter not in conversation["participants"] or role_of(conversation, inviter) == "member":
        return False
    removals = [entry["removed_at"] for entry in conversation.get("former", ()) if entry["user"] == user_id]
    return all(removed_at is None or removed_at < invitation.created_at for removed_at in removals)


def has_left(conversation: Document, user_id: ObjectId) -> bool:
    """Return whether the user has left the group, or was removed from it, and has not joined it again."""
    return any(entry["user"] == user_id for entry in conversation.get("former", ()))


def _managed_by(user_id: ObjectId) -> Document:
    """Groups in which `user_id` is a participant and the owner or an admin."""
    return {"participants": user_id, "$or": [{"owner_id": user_id}, {"admins": user_id}]}


def _room_for(conversation: Document, new: Collection[ObjectId]) -> Document:
    """Groups that have room for the users `new`, and the `history` of `conversation`, on which depends what they see.

    Evaluated by the database together with the update: others may change the group at the same time.
    """
    max_before = MAX_PARTICIPANTS - len(new)
    return {f"participants.{max_before}": {"$exists": False}, "history": conversation.get("history")}


def _joining(conversation: Document, new: Collection[ObjectId]) -> Document:
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
