"""Filter of one connection's events by its user's membership in conversations."""

from collections.abc import Callable

from service.chat import events
from service.realtime.event import Event

MAX_CONVERSATIONS = 1000
"""Conversations remembered. Late events are late by moments, so the oldest entries may be evicted."""


class MembershipFilter:
    """Keeps membership changes of a connection's user in order, and drops events of conversations the user has left.

    `conversation_updated` and `conversation_removed` events reach the connection in the order of their versions. No
    event of a conversation follows its `conversation_removed`, and those still queued for a slow client are discarded.

    This is needed because consecutive changes are published by different tasks, even of different processes, and may
    overtake each other. A message may be on its way to a user who was removed while it was being stored.
    """

    __slots__ = ("_discard_topic", "_membership", "filters_sequenced")

    def __init__(self, discard_topic: Callable[[str], None]) -> None:
        """`discard_topic(topic)` removes the queued events of a topic from the connection's queue."""
        self.filters_sequenced = False
        """Whether messages need to pass the filter: the user has left at least one of the remembered conversations."""
        self._discard_topic = discard_topic
        self._membership: dict[str, tuple[int, bool]] = {}
        """By topic: the version of the last membership event, and whether the user is a participant."""

    def rejects(self, event: Event) -> bool:
        """Return whether `event` must not be queued for the connection; record it if it changes the membership."""
        known = self._membership.get(event.topic)
        version = None if event.sequence else events.version_of(event)
        if version is None:
            return known is not None and not known[1]
        if known is not None and version < known[0]:
            return True
        is_participant = event.type == "conversation_updated"
        # A removal may be announced twice (see ConversationAnnouncer); the client gets it once.
        is_repeated = known is not None and not (known[1] or is_participant)
        # Inserted anew, so that the first entry is the one that changed longest ago.
        self._membership.pop(event.topic, None)
        self._membership[event.topic] = version, is_participant
        if not is_participant:
            self._discard_topic(event.topic)
        if len(self._membership) > MAX_CONVERSATIONS:
            del self._membership[next(iter(self._membership))]
        self.filters_sequenced = not all(is_participant for _, is_participant in self._membership.values())
        return is_repeated
