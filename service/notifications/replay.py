"""How a connection joins the notifications of its user: what it missed, then what comes, and nothing twice."""

from service.notifications.models import FEED
from service.notifications.service import NotificationService
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.telemetry.metrics import Metrics

UNKNOWN = -1
"""The number of an id that is none of ours."""
MAX_DIGITS = 16


def seen_of(id: str | None) -> int | None:
    """The number that a client has seen, from its `Last-Event-ID`; None where it names none."""
    if not id:
        return None
    return int(id) if id.isascii() and id.isdigit() and len(id) <= MAX_DIGITS else UNKNOWN


async def join(
    connection: Connection, service: NotificationService, seen: int | None, heartbeat: float, metrics: Metrics
) -> None:
    """Say hello, then what came after `seen`, and go live. `heartbeat`: seconds between two signs of life of ours.

    The connection is registered. What it is told here and what reaches it meanwhile, or later from a process that
    stored it before, overlap: the numbers tell. Raises Unavailable.
    """
    past = await service.past(connection.user_id, seen)
    hello = {
        "seq": past.inbox.last_seq,
        "unread_count": past.inbox.unread,
        "heartbeat_interval": int(heartbeat),
        "token_expires_at": connection.token_expires_at,
    }
    first = [Event("hello", hello, feed=FEED)]
    if seen is not None:
        metrics.resumed(FEED, not past.lost)
    if past.lost:
        first.append(connection.notice("reset", {"reason": past.lost}))
    connection.open([*first, *past.missed], after=past.inbox.last_seq)
