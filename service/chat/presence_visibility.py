"""Who sees whose presence: users who share a conversation, unless one does not show it or the other blocks them."""

from collections.abc import Awaitable, Callable, Collection

from service.chat.conversation_store import ConversationStore
from service.common.blocks import Block, Blocks, blockers


class PresenceVisibility:
    """Implements `service.realtime.presence_service.Visibility`. All methods raise Unavailable."""

    def __init__(
        self,
        conversations: ConversationStore,
        showing: Callable[[Collection[str]], Awaitable[set[str]]],
        blocks: Blocks,
    ) -> None:
        """`showing(user_ids)` returns those of the users who show their presence."""
        self._conversations = conversations
        self._showing = showing
        self._blocks = blocks

    async def visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
        shared = await self._conversations.lists.sharing(viewer, set(user_ids) - {viewer})
        shown = await self._showing(shared) if shared else set()
        blocked = await self._blocks.existing(Block(viewer, user_id) for user_id in shown)
        return shown.difference(block.blocked_id for block in blocked) | ({viewer} & set(user_ids))

    async def viewers(self, user_id: str, viewers: Collection[str]) -> set[str]:
        others = set(viewers) - {user_id}
        shown = await self._showing([user_id]) if others else set()
        seeing = await self._conversations.lists.sharing(user_id, others) if shown else set()
        return (seeing - await blockers(self._blocks, user_id, seeing)) | ({user_id} & set(viewers))
