"""How one socket's user stands to each conversation, in it or out of it, as of the last change that it was told."""

from collections.abc import Callable

from service.chat import events
from service.realtime.event import Event

MAX_KNOWN = 1000
"""What comes too late is late by moments, so the oldest may be forgotten."""


class MembershipFilter:
    """Sees to it that `conversation_updated` and `conversation_removed` reach one connection in the order of their
    versions, and that nothing of a conversation comes after its `conversation_removed`, nor just before it where it
    still waited for a slow reader.

    Changes that are stored one after the other are told by different tasks, of different processes even, and so may
    overtake each other. A message that was being stored while its reader was taken out is on its way to that reader.
    """

    __slots__ = ("_drop", "_known", "filters_sequenced")

    def __init__(self, drop: Callable[[str], None]) -> None:
        """`drop(topic)` takes out of the connection's queue what waits of it."""
        self.filters_sequenced = False
        """Whether any message may come too late: there is a conversation that the user is out of."""
        self._drop = drop
        self._known: dict[str, tuple[int, bool]] = {}

    def rejects(self, event: Event) -> bool:
        """Whether `event`, about to be queued for the connection, comes too late for it."""
        known = self._known.get(event.topic)
        version = None if event.sequence else events.version_of(event)
        if version is None:
            return known is not None and not known[1]
        if known is not None and version < known[0]:
            return True
        takes_part = event.type == "conversation_updated"
        # Anew, so that the oldest is the one that was told of longest ago.
        self._known.pop(event.topic, None)
        self._known[event.topic] = version, takes_part
        if not takes_part:
            self._drop(event.topic)
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self.filters_sequenced = not all(within for _, within in self._known.values())
        return False
