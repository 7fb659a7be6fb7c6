"""What waits for the connections of a process, added up."""

from collections.abc import Iterable
from typing import NamedTuple

from service.realtime.connection import Connection


class QueueStats(NamedTuple):
    """`deepest`: the events of the longest queue. `dropped`: ephemeral events that found no room."""

    events: int = 0
    bytes: int = 0
    max_depth: int = 0
    dropped: int = 0


def queue_stats(connections: Iterable[Connection]) -> QueueStats:
    """Of all these queues, as of now: some 0.3 µs each, so it is asked for now and then and never for an event."""
    events = size = deepest = dropped = 0
    for connection in connections:
        queue = connection.queue
        dropped += queue.dropped
        if waiting := len(queue):
            events += waiting
            size += queue.size
            deepest = max(deepest, waiting)
    return QueueStats(events, size, deepest, dropped)
