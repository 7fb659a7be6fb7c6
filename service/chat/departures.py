"""What a socket still hears of a conversation after its `conversation_removed`: nothing."""

from service.realtime.event import Event

MAX_DEPARTURES = 1000
"""An event is late by moments, so the oldest departures may be forgotten."""


class Departures:
    """The conversations that one connection was told it is out of, until it is told that it is in them again.

    A message that was being stored while its reader was taken out is on its way to that reader, and may come last.
    """

    __slots__ = ("_topics",)

    def __init__(self) -> None:
        self._topics: dict[str, None] = {}

    def skips(self, event: Event) -> bool:
        """Whether `event`, about to be queued for the connection, comes too late for it."""
        if event.type == "conversation_removed" and event.topic:
            self._topics[event.topic] = None
            if len(self._topics) > MAX_DEPARTURES:
                del self._topics[next(iter(self._topics))]
        elif self._topics:
            if event.type != "conversation_updated":
                return event.topic in self._topics
            self._topics.pop(event.topic, None)
        return False
