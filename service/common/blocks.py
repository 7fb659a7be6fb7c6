"""Blocks between users, and the interface to look them up."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Block(NamedTuple):
    """`user_id` blocks `blocked_id`."""

    user_id: str
    blocked_id: str


class Blocks(Protocol):
    """All methods raise Unavailable."""

    async def existing(self, blocks: Iterable[Block]) -> set[Block]:
        """Return those of `blocks` that exist, with one read for a few dozen of them.

        `{Block(recipient, sender), …}` tells which recipients block a sender, `{Block(a, b), Block(b, a)}` whether
        one of two users blocks the other.
        """
        ...

    async def blocked_by(self, user_id: str) -> set[str]:
        """Return everyone whom the user blocks: at most a thousand."""
        ...


async def blockers(blocks: Blocks, user_id: str, others: Iterable[str]) -> set[str]:
    """Return those of `others` who block `user_id`. Raises Unavailable."""
    return {block.user_id for block in await blocks.existing(Block(other, user_id) for other in set(others))}
