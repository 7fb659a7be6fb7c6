"""The use cases of groups: title, participants and roles."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bson import ObjectId

from service.chat.conversation_service import ConversationService
from service.chat.conversation_store import ConversationStore
from service.chat.invitation_store import Invitation, InvitationStore
from service.chat.members import Role, owner_of, role_of
from service.common.errors import Forbidden, NotFound, Unavailable
from service.datastores.mongo import Document

MAX_ATTEMPTS = 5
"""Attempts of a change that is allowed, but matched nothing because others changed the group meanwhile."""
NOT_A_GROUP = "Nobody joins, leaves or changes a direct conversation."
MANAGERS_ONLY = "Only the owner and the admins of a group can do that."


class GroupService:
    """Changes of groups. Every change is stored, then announced to all participants (see ConversationAnnouncer).

    The queries of GroupStore decide what a user may do. If one has changed nothing, the group is read to find out why.
    """

    def __init__(
        self, conversations: ConversationStore, invitations: InvitationStore, service: ConversationService
    ) -> None:
        self._conversations = conversations
        self._invitations = invitations
        self._groups = conversations.groups
        self._service = service

    async def change(self, user_id: str, conversation_id: str, fields: Document) -> dict[str, Any]:
        """Set the `title` or the `history`, or both, of a group. `history` is for those who join from then on.

        Raises NotFound, Forbidden (a direct conversation; not the owner or an admin), Unavailable.
        """
        user, key = ObjectId(user_id), ObjectId(conversation_id)
        if not fields:
            return await self._service.get(user_id, conversation_id)
        for _ in range(MAX_ATTEMPTS):
            document = await self.check_manager(key, user)
            new = {name: value for name, value in fields.items() if document.get(name) != value}
            if not new:
                return await self.unchanged(document, user_id)
            with self._announced_later(key):
                changed = await self._groups.change(document, user, new)
            if changed is not None:
                return await self.announce(changed, user_id)
        raise Unavailable

    async def add_participants(
        self, user_id: str, conversation_id: str, new: Sequence[str], *, by_site: bool = False
    ) -> dict[str, Any]:
        """Add users; participants among them are ignored. Return the conversation. `by_site`: see `create`.

        Raises NotFound, Forbidden (see `change`; a new user blocks the caller), ValidationFailed (`user_ids`),
        Unavailable.
        """
        user, key = ObjectId(user_id), ObjectId(conversation_id)
        for _ in range(MAX_ATTEMPTS):
            document = await self._service.get_document(conversation_id, user_id)
            wanted = list(dict.fromkeys(new))
            present = await self._groups.present(document, [ObjectId(member) for member in wanted])
            missing = [member for member in wanted if ObjectId(member) not in present]
            await self._service.check_exist("user_ids", missing)
            if not missing and document["kind"] == "group" and role_of(document, user) != "member":
                return await self.unchanged(document, user_id)
            added = [ObjectId(member) for member in missing]
            blockable_by = None if by_site else user_id
            if role_of(document, user) != "member":
                await self._check_not_left(document, added)
                await self._service.check_addable(blockable_by, missing)
            await self._service.count_all(document)
            with self._announced_later(key):
                changed = await self._groups.add(document, user, added)
                if changed is not None:
                    changed = await self._service.remove_refusing(changed, added, blockable_by)
            if changed is not None:
                return await self.announce(changed, user_id)
            await self.check_manager(key, user)
        raise Unavailable

    async def remove_participant(self, user_id: str, conversation_id: str, member_id: str) -> None:
        """Leave a group, or remove another participant. If the owner leaves, the longest-standing admin, else member,
        becomes the owner.

        Raises NotFound, Forbidden, Unavailable.
        """
        user, member, key = ObjectId(user_id), ObjectId(member_id), ObjectId(conversation_id)
        for _ in range(MAX_ATTEMPTS):
            with self._announced_later(key):
                if user == member:
                    changed = await self._groups.leave(key, user)
                else:
                    changed = await self._groups.remove(key, user, member)
                if changed is not None:
                    await self._invitations.end_all(key, member)
                    await self._service.forget_settings(key, member)
            if changed is not None:
                await self._service.announcer.announce(changed)
                return
            # Before the group is read for the caller, who may have left it.
            await self._service.announcer.reannounce(key)
            document = await self._check_group(key, user)
            if not await self._groups.present(document, [member]):
                raise NotFound
            role = role_of(document, user)
            if role == "member" or (role == "admin" and role_of(document, member) != "member"):
                raise Forbidden("Only the owner can remove everyone from a group; an admin, those who have no role.")
        raise Unavailable

    async def set_role(self, user_id: str, conversation_id: str, member_id: str, role: Role) -> dict[str, Any]:
        """Give a participant a role. `owner` hands the group over; the caller becomes an admin.

        Raises NotFound, Forbidden (not the owner; the owner's own role), Unavailable.
        """
        user, member, key = ObjectId(user_id), ObjectId(member_id), ObjectId(conversation_id)
        for _ in range(MAX_ATTEMPTS):
            if user != member:
                with self._announced_later(key):
                    changed = await self._groups.set_role(key, user, member, role)
                    if changed is not None and role == "member":
                        await self._invitations.end_all(key, member)
                if changed is not None:
                    return await self.announce(changed, user_id)
            document = await self._check_group(key, user)
            if not await self._groups.present(document, [member]):
                raise NotFound
            is_owner = role_of(document, user) == "owner"
            if role_of(document, member) == role and (is_owner or role == "owner"):
                # An owner who repeats the request to hand the group over is not the owner any more.
                return await self.unchanged(document, user_id)
            if not is_owner:
                raise Forbidden("Only the owner of a group sets roles.")
            if user == member:
                raise Forbidden("The owner stays the owner until they make somebody else the owner, or leave.")
        raise Unavailable

    async def join(self, document: Document, user: ObjectId, invitation: Invitation) -> dict[str, Any] | None:
        """Add a user by an invitation; return the conversation, or None if the group has changed. Raises Unavailable.

        `document` is the group, of which the user is not a participant.
        """
        await self._service.count_all(document)
        with self._announced_later(document["_id"]):
            changed = await self._groups.join(document, user, invitation)
            if changed is not None:
                changed = await self._service.remove_refusing(changed, [user], None)
        return await self.announce(changed, str(user)) if changed is not None else None

    async def announce(self, changed: Document, user_id: str) -> dict[str, Any]:
        """Announce the group to its participants; return it as `user_id` sees it. Raises Unavailable."""
        await self._service.announcer.announce(changed)
        return await self.as_json(changed, user_id)

    async def unchanged(self, document: Document, user_id: str) -> dict[str, Any]:
        """Return the group to a request that found its work done; see `announce_if_marked`. Raises Unavailable."""
        await self._service.announcer.announce_if_marked(document)
        return await self.as_json(document, user_id)

    async def as_json(self, document: Document, user_id: str) -> dict[str, Any]:
        """Return the group as `user_id` sees it. Raises Unavailable."""
        return await self._service.seen_by(user_id, document)

    async def check_manager(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Return the group. Raises NotFound, Forbidden, unless the user is its owner or an admin; Unavailable."""
        document = await self._check_group(conversation_id, user_id)
        if role_of(document, user_id) == "member":
            raise Forbidden(MANAGERS_ONLY)
        return document

    async def _check_group(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Return the group. Raises NotFound if the user is not a participant; Forbidden if it is no group."""
        document = await self._conversations.get(conversation_id, user_id)
        if document["kind"] != "group":
            raise Forbidden(NOT_A_GROUP)
        if (owner := owner_of(document)) != document["owner_id"]:
            await self._groups.repair_owner(conversation_id, document["owner_id"], owner)
        return document

    async def _check_not_left(self, document: Document, user_ids: Sequence[ObjectId]) -> None:
        """Raises Forbidden if one of the users has left the group: only they themselves decide to return."""
        left = await self._groups.left(document, user_ids)
        for user_id in user_ids:
            if user_id in left:
                raise Forbidden(
                    f"The user {user_id} has left the group, or was removed, and returns only by an invitation."
                )

    @contextmanager
    def _announced_later(self, conversation_id: ObjectId) -> Iterator[None]:
        """If the block fails, it may have changed the conversation all the same: announce it in the background."""
        try:
            yield
        except BaseException:
            self._service.announcer.retry(conversation_id)
            raise
