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
    The answer to a `sync` shows that the user was a participant in its version: it follows if that is a later one.

    This is needed because consecutive changes are published by different tasks, even of different processes, and may
    overtake each other. A message may be on its way to a user who was removed while it was being stored. And a
    `conversation_updated` may be lost: then the client asks for what it has missed, or gets a `reset`, before which the
    database says what the user has joined again.
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
        has_left = known is not None and not known[1]
        version = None if event.sequence else events.version_of(event)
        if version is None or (event.type == "sync" and not has_left):
            return has_left
        if known is not None and (version < known[0] or (event.type == "sync" and version == known[0])):
            return True
        is_participant = event.type != "conversation_removed"
        # A removal may be announced twice (see ConversationAnnouncer). The client gets it once: the first one may still
        # be queued.
        is_repeated = has_left and not is_participant
        if not is_participant and not is_repeated:
            self._discard_topic(event.topic)
        # Inserted anew, so that the first entry is the one that changed longest ago.
        self._membership.pop(event.topic, None)
        self._membership[event.topic] = version, is_participant
        if len(self._membership) > MAX_CONVERSATIONS:
            del self._membership[next(iter(self._membership))]
        self.filters_sequenced = not all(is_participant for _, is_participant in self._membership.values())
        return is_repeated

    def left(self) -> list[str]:
        """Return the ids of the remembered conversations that the user has left."""
        return [topic.removeprefix(events.TOPIC) for topic, known in self._membership.items() if not known[1]]

    def join(self, conversation_id: str, version: int) -> None:
        """Note that the user is a participant in `version`, unless they have left in that one or a later one."""
        topic = events.TOPIC + conversation_id
        known = self._membership.get(topic)
        if known is not None and version > known[0]:
            self._membership[topic] = version, True
