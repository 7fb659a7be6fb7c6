"""Conversations that the servers of a site create and change, under the site's own ids."""

from collections.abc import Sequence
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.accounts.external_users import ExternalUsers
from service.accounts.users import UserStore
from service.chat.conversation_service import ConversationService
from service.chat.conversation_store import ConversationStore
from service.chat.group_service import GroupService
from service.chat.invitation_service import InvitationService
from service.chat.members import owner_of, participant_count
from service.chat.message_service import MessageService
from service.common.errors import Forbidden, NotFound, Unavailable, ValidationFailed
from service.common.ids import derived_id
from service.datastores.mongo import Document
from service.server_api.models import (
    GroupChange,
    NewServerConversation,
    NewServerMessage,
    ServerConversation,
    ServerParticipant,
)

MAX_SHOWN = 100
"""Participants that an answer names."""


class ServerConversations:
    """Conversations by their external ids. Methods raise NotFound if there is no such conversation, and Unavailable.

    The `_id` of a conversation with an external id is made of that id. So external ids are unique in a sharded
    database, too, without an index.

    Groups are changed in the name of their present owner.
    """

    def __init__(
        self,
        users: ExternalUsers,
        user_store: UserStore,
        store: ConversationStore,
        conversations: ConversationService,
        groups: GroupService,
        invitations: InvitationService,
        messages: MessageService,
    ) -> None:
        self._users = users
        self._user_store = user_store
        self._store = store
        self._conversations = conversations
        self._groups = groups
        self._invitations = invitations
        self._messages = messages

    async def create(self, new: NewServerConversation) -> tuple[ServerConversation, bool]:
        """Return the conversation, and whether it is new. One that exists stays as it is.

        Raises ValidationFailed (`participants`).
        """
        if new.external_id is not None and (found := await self._find_or_none(new.external_id)):
            return await self._shown(found), False
        owner, *others = await self._user_ids("participants", new.participants)
        if new.external_id is None:
            if not others:
                raise ValidationFailed.of("participants", "A conversation without an external id needs two people.")
            created, is_new = await self._conversations.create(owner, others, new.title, by_site=True)
            return await self._shown(await self._read(ObjectId(created["id"]))), is_new
        members = [ObjectId(other) for other in others]
        identity = {"_id": _key(new.external_id), "external_id": new.external_id}
        try:
            document = await self._store.create_group(ObjectId(owner), members, new.title, identity=identity)
        except DuplicateKeyError:
            return await self._shown(await self._find(new.external_id)), False
        document = await self._conversations.remove_refusing(document, [ObjectId(owner), *members], None)
        await self._conversations.announcer.announce_if_marked(document)
        return await self._shown(document), True

    async def get(self, external_id: str) -> ServerConversation:
        return await self._shown(await self._find(external_id))

    async def change(self, external_id: str, change: GroupChange) -> ServerConversation:
        """Set the title, then add users, then remove users. Those who are participants already, or are none, are
        ignored.

        If it fails, a part may be done; the request can be repeated. Raises ValidationFailed (`add`, `remove`),
        Forbidden (the group is full).
        """
        document = await self._find(external_id)
        conversation_id = str(document["_id"])
        added = await self._user_ids("add", change.add) if change.add else []
        removed = await self._user_ids("remove", change.remove) if change.remove else []
        if not document["participants"]:
            raise ValidationFailed.of("add", "Everybody has left this group, and nobody can be added any more.")
        if "title" in change.model_fields_set:
            await self._groups.change(str(owner_of(document)), conversation_id, {"title": change.title})
        if added:
            await self._add(str(owner_of(document)), conversation_id, added)
        # The owner last: before, the others are removed in their name.
        owner = str(owner_of(await self._find(external_id)))
        for user_id in sorted(removed, key=lambda user_id: user_id == owner):
            await self._remove(owner, conversation_id, user_id)
        return await self.get(external_id)

    async def send(self, external_id: str, new: NewServerMessage) -> tuple[dict[str, Any], bool]:
        """Send a message for a participant. Return it, and whether it is new. Raises ValidationFailed (`sender`),
        Banned, NonceReused."""
        conversation = await self._find(external_id)
        try:
            sender = await self._users.find(new.sender)
        except NotFound:
            raise _no_user("sender", new.sender) from None
        sender.check_ban()
        try:
            return await self._messages.send(
                sender.id, str(conversation["_id"]), new.content, new.nonce, attachments=new.attachments
            )
        except NotFound:
            raise ValidationFailed.of("sender", "Not a participant of this conversation.") from None

    async def _add(self, owner: str, conversation_id: str, user_ids: Sequence[str]) -> None:
        try:
            await self._groups.add_participants(owner, conversation_id, user_ids, by_site=True)
        except Forbidden:
            # Some of them have left, or were removed. The site decides for them: they return by an invitation.
            token = (await self._invitations.invite(owner, conversation_id))["token"]
            for user_id in user_ids:
                await self._invitations.accept(user_id, token)

    async def _remove(self, owner: str, conversation_id: str, user_id: str) -> None:
        try:
            await self._groups.remove_participant(owner, conversation_id, user_id)
        except NotFound:
            # Not a participant; or the owner is none any more.
            document = await self._read(ObjectId(conversation_id))
            if document["participants"] and str(owner_of(document)) != owner:
                raise Unavailable from None

    async def _find(self, external_id: str) -> Document:
        if (document := await self._find_or_none(external_id)) is None:
            raise NotFound
        return document

    async def _find_or_none(self, external_id: str) -> Document | None:
        document = await self._store.find(_key(external_id))
        return document if document and document.get("external_id") == external_id else None

    async def _read(self, conversation_id: ObjectId) -> Document:
        document = await self._store.find(conversation_id)
        if document is None:
            raise NotFound
        return document

    async def _user_ids(self, field: str, external_ids: Sequence[str]) -> list[str]:
        """Return the users, each once and in this order. Raises ValidationFailed (`field`)."""
        found = await self._users.user_ids(list(dict.fromkeys(external_ids)))
        if missing := [external_id for external_id in external_ids if external_id not in found]:
            raise _no_user(field, missing[0])
        return [found[external_id] for external_id in dict.fromkeys(external_ids)]

    async def _shown(self, document: Document) -> ServerConversation:
        shown = [str(member) for member in document["participants"][:MAX_SHOWN]]
        external_ids = await self._user_store.external_ids(shown) if shown else {}
        return ServerConversation(
            id=str(document["_id"]),
            external_id=document.get("external_id"),
            kind=document["kind"],
            title=document["title"],
            created_at=document["created_at"],
            participant_count=participant_count(document),
            participants=[ServerParticipant(id=each, external_id=external_ids.get(each)) for each in shown],
        )


def _key(external_id: str) -> ObjectId:
    """Return the id of the conversation with this external id. Only the site itself could make two ids collide; one of
    the conversations would then not be there."""
    return derived_id(f"conversation {external_id}")


def _no_user(field: str, external_id: str) -> ValidationFailed:
    return ValidationFailed.of(field, f"There is no user {external_id}.")
