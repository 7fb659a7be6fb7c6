"""Who in a group blocks a user who types there."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from service.common.blocks import Blocks, blockers

MAX_AGE = 10.0
"""Seconds for which an answer is remembered. Who types asks every three seconds, and each time the database would look
for up to a hundred blocks."""
MAX_USERS = 10_000
"""Users whose answers are remembered: some 5 MB. Those who asked first are forgotten first."""


class Known(NamedTuple):
    """`blockers`: who blocks the user in this version of a conversation. `until`: when that is to be read again."""

    conversation_id: str
    version: int
    until: float
    blockers: frozenset[str]


class BlockerCache:
    """Remembers who in a group blocks a user, for each user in the group for which it was asked last.

    An answer is up to MAX_AGE seconds old if another process has changed a block; a change by this one counts at once.
    """

    def __init__(self, blocks: Blocks, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._blocks = blocks
        self._clock = clock
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._changes = 0
        """How often blocks were changed: what was read before may be older."""

    async def in_group(
        self, user_id: str, conversation_id: str, version: int, others: Collection[str]
    ) -> frozenset[str]:
        """Return those of `others`, who are the other participants in this version of the conversation, who block the
        user. Raises Unavailable."""
        known = self._known.get(user_id)
        now, changes = self._clock(), self._changes
        if known and (known.conversation_id, known.version) == (conversation_id, version) and now < known.until:
            return known.blockers
        found = frozenset(await blockers(self._blocks, user_id, others))
        if changes == self._changes:
            self._known[user_id] = Known(conversation_id, version, now + MAX_AGE, found)
            self._known.move_to_end(user_id)
            if len(self._known) > MAX_USERS:
                self._known.popitem(last=False)
        return found

    def forget(self, user_ids: Iterable[str]) -> None:
        """Note that the blocks of, or by, these users have changed."""
        self._changes += 1
        for user_id in user_ids:
            self._known.pop(user_id, None)
