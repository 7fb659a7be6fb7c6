"""The use cases of invitations: users join a group by a link, of their own accord."""

from typing import Any

from bson import ObjectId

from service.chat.conversation_store import ConversationStore
from service.chat.group_service import GroupService
from service.chat.invitation_store import Invitation, InvitationStore
from service.chat.members import participant_count
from service.chat.models import MAX_PARTICIPANTS
from service.common.errors import Forbidden, NotFound, Unavailable
from service.common.profiles import Profiles, profile_of
from service.common.times import iso
from service.datastores.mongo import Document

MAX_ATTEMPTS = 5
"""Attempts to join a group that others change at the same time."""
GONE = "The invitation does not exist, or no longer."


class InvitationService:
    """Creates and accepts invitations.

    Any number of users can join by one. It ends after a week, or as soon as its inviter is neither the owner nor an
    admin any more. A user who was removed from the group cannot return by an invitation from before the removal.
    """

    def __init__(
        self, invitations: InvitationStore, conversations: ConversationStore, groups: GroupService, profiles: Profiles
    ) -> None:
        self._invitations = invitations
        self._conversations = conversations
        self._groups = groups
        self._profiles = profiles

    async def invite(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        """Create an invitation. Raises NotFound, Forbidden (not the owner or an admin), Unavailable."""
        user, key = ObjectId(user_id), ObjectId(conversation_id)
        await self._groups.check_manager(key, user)
        token, expires_at = await self._invitations.add(key, user)
        return {"token": token, "expires_at": iso(expires_at)}

    async def end_all(self, user_id: str, conversation_id: str) -> None:
        """End all invitations of a group. Raises NotFound, Forbidden (not the owner or an admin), Unavailable."""
        await self._groups.check_manager(ObjectId(conversation_id), ObjectId(user_id))
        await self._invitations.end_all(ObjectId(conversation_id))

    async def preview(self, user_id: str, token: str) -> dict[str, Any]:
        """Return what a user sees before they join. Raises NotFound, Unavailable."""
        invitation, document = await self._find(ObjectId(user_id), token)
        inviter = str(invitation.inviter_id)
        is_participant = bool(await self._conversations.groups.present(document, [ObjectId(user_id)]))
        return {
            "conversation_id": str(document["_id"]) if is_participant else None,
            "title": document["title"],
            "participant_count": participant_count(document),
            "inviter": profile_of(inviter, await self._profiles.profiles([inviter])).model_dump(),
            "expires_at": iso(invitation.expires_at),
        }

    async def accept(self, user_id: str, token: str) -> dict[str, Any]:
        """Join the group; return the conversation. Idempotent. Raises NotFound, Forbidden (it is full), Unavailable."""
        user = ObjectId(user_id)
        for _ in range(MAX_ATTEMPTS):
            invitation, document = await self._find(user, token)
            if await self._conversations.groups.present(document, [user]):
                return await self._groups.unchanged(document, user_id)
            if participant_count(document) >= MAX_PARTICIPANTS:
                raise Forbidden("The group is full.")
            joined = await self._groups.join(document, user, invitation)
            if joined is not None:
                return joined
        raise Unavailable

    async def _find(self, user_id: ObjectId, token: str) -> tuple[Invitation, Document]:
        """Return an invitation that admits the user, and the group. Raises NotFound, Unavailable."""
        invitation = await self._invitations.find(token)
        document = await self._conversations.find(invitation.conversation_id) if invitation else None
        if invitation is None or document is None:
            raise NotFound(GONE)
        if not await self._conversations.groups.admits(document, user_id, invitation):
            raise NotFound(GONE)
        return invitation, document
