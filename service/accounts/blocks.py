"""Blocking: who blocks whom, as their user sees it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from bson import ObjectId

from service.accounts.block_store import BlockStore
from service.accounts.models import BlockedUser, BlockPage
from service.common.blocks import Block
from service.common.cursor import CursorFormat
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profiles, profile_of
from service.common.times import iso

CURSORS = CursorFormat("blocks", datetime, ObjectId)


class BlockService:
    """Changes and lists the blocks of a user. All methods raise Unavailable.

    A change is stored, then `apply` brings in step what depends on it, then the user's own connections get an event. If
    one of these steps fails, the user's repeated request does all of them again.
    """

    def __init__(
        self,
        blocks: BlockStore,
        profiles: Profiles,
        apply: Callable[[str, str], Awaitable[Any]],
        on_changed: Callable[[Block, bool], None],
    ) -> None:
        """`apply(user_id, other)` is awaited after each change of a block between two users. Then
        `on_changed(block, exists)` is called."""
        self._blocks = blocks
        self._profiles = profiles
        self._apply = apply
        self._on_changed = on_changed

    async def block(self, user_id: str, other: str) -> None:
        """Block a user. Idempotent. Raises NotFound, ValidationFailed (`user_id`: oneself, or too many)."""
        if user_id == other:
            raise ValidationFailed.of("user_id", "Nobody blocks themselves.")
        if not await self._profiles.existing([other]):
            raise NotFound
        await self._blocks.add(user_id, other)
        await self._apply(user_id, other)
        self._on_changed(Block(user_id, other), True)

    async def unblock(self, user_id: str, other: str) -> None:
        """Remove a block. Idempotent. Raises NotFound if there never was such a user."""
        if not await self._profiles.profiles([other]):
            raise NotFound
        await self._blocks.remove(user_id, other)
        await self._apply(user_id, other)
        self._on_changed(Block(user_id, other), False)

    async def page(self, user_id: str, limit: int, before: str | None) -> BlockPage:
        """Return a page of those whom the user blocks, the latest first. Raises ValidationFailed (`before`)."""
        place = CURSORS.parse(before) if before is not None else None
        rows = await self._blocks.page(user_id, limit + 1, (place[0], place[1]) if place else None)
        profiles = await self._profiles.profiles(row.blocked_id for row in rows[:limit]) if rows else {}
        items = [
            BlockedUser(user=profile_of(row.blocked_id, profiles), created_at=iso(row.created_at))
            for row in rows[:limit]
        ]
        return BlockPage(items=items, next=CURSORS.encode(rows[limit - 1].key) if len(rows) > limit else None)
