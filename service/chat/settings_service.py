"""Muting, archiving and clearing: what users do with a conversation for themselves alone."""

from datetime import datetime
from typing import Any

from bson import ObjectId

from service.chat import events
from service.chat.conversation_service import ConversationService
from service.chat.conversation_store import ConversationStore, seq_of, version_of
from service.chat.members import start_of
from service.chat.settings_store import FOREVER, SettingsStore
from service.realtime.dispatcher import Dispatcher


class SettingsService:
    """Changes a user's settings of a conversation, and tells the user's own connections. The methods return the
    conversation as the user sees it; they raise NotFound and Unavailable.

    The other participants get no event. If the event is lost, the user's other devices have the state with the
    conversation when it is loaded next.
    """

    def __init__(
        self,
        settings: SettingsStore,
        store: ConversationStore,
        conversations: ConversationService,
        dispatcher: Dispatcher,
    ) -> None:
        self._store = store
        self._settings = settings
        self._conversations = conversations
        self._dispatcher = dispatcher

    async def mute(self, user_id: str, conversation_id: str, until: datetime | None) -> dict[str, Any]:
        """Mute until a time, or until `unmute` if it is None."""
        await self._conversations.get_document(conversation_id, user_id)
        await self._settings.set_muted(ObjectId(user_id), ObjectId(conversation_id), until or FOREVER)
        return await self._changed(user_id, conversation_id)

    async def unmute(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        await self._conversations.get_document(conversation_id, user_id)
        await self._settings.set_muted(ObjectId(user_id), ObjectId(conversation_id), None)
        return await self._changed(user_id, conversation_id)

    async def archive(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        """Hide the conversation from the user's list until the next message, or until `unarchive`."""
        document = await self._conversations.get_document(conversation_id, user_id)
        await self._settings.set_archived(ObjectId(user_id), document["_id"], seq_of(document))
        return await self._changed(user_id, conversation_id)

    async def unarchive(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        await self._conversations.get_document(conversation_id, user_id)
        await self._settings.set_archived(ObjectId(user_id), ObjectId(conversation_id), None)
        return await self._changed(user_id, conversation_id)

    async def clear_history(self, user_id: str, conversation_id: str) -> None:
        """Let the user's history begin after the newest message. Raises NotFound, Unavailable."""
        document = await self._conversations.get_document(conversation_id, user_id)
        await self._conversations.count_all(document)
        seq = seq_of(document)
        if start_of(document, user_id) < seq:
            await self._store.clear_history(document["_id"], ObjectId(user_id), seq)
        # Also for a repeated request: the first one may not have announced it.
        self._dispatcher.publish(events.history_cleared(conversation_id, user_id, seq), [user_id])

    async def _changed(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        document = await self._conversations.get_document(conversation_id, user_id)
        [conversation] = await self._conversations.as_json([document], user_id)
        self._dispatcher.publish(events.conversation_updated(conversation, version_of(document)), [user_id])
        return conversation
