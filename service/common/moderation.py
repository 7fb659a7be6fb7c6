"""The right of moderators to delete what others have written, as the routes of messages, posts and comments ask it."""

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from service.common.identity import Identity

MODERATOR = "moderator"
"""The role, as `grant` stores it and as a token from outside names it."""

Content = Literal["message", "post", "comment"]
MayDelete = Callable[[], Awaitable[bool]]
"""Asked only if the caller is not the author. True: they delete it as a moderator, which has been logged."""


class Moderators(Protocol):
    async def may_delete(self, caller: Identity, kind: Content, subject_id: str) -> bool:
        """Return whether the caller is a moderator and this was reported; if so, log that they delete it. Raises
        Unavailable."""
        ...


async def nobody_moderates() -> bool:
    """The MayDelete of a caller who can only be the author."""
    return False
