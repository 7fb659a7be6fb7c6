"""How a connection joins the notifications of its user: what it missed, then what comes, and nothing twice."""

from service.notifications.models import CHANNEL
from service.notifications.service import NotificationService
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.telemetry.metrics import Metrics

UNKNOWN_ID = -1
"""The number of an id that is none of ours."""
MAX_DIGITS = 16


def parse_last_event_id(id: str | None) -> int | None:
    """The number that a client has seen, from its `Last-Event-ID`; None where it names none."""
    if not id:
        return None
    return int(id) if id.isascii() and id.isdigit() and len(id) <= MAX_DIGITS else UNKNOWN_ID


async def go_live(
    connection: Connection, service: NotificationService, seen: int | None, heartbeat: float, metrics: Metrics
) -> None:
    """Say hello, then what came after `seen`, and go live. `heartbeat`: seconds between two signs of life of ours.

    The connection is registered. What it is told here and what reaches it meanwhile, or later from a process that
    stored it before, overlap: the numbers tell. Raises Unavailable.
    """
    replay = await service.replay(connection.user_id, seen)
    hello = {
        "seq": replay.inbox.last_seq,
        "unread_count": replay.inbox.unread,
        "heartbeat_interval": int(heartbeat),
        "token_expires_at": connection.token_expires_at,
    }
    first = [Event("hello", hello, channel=CHANNEL)]
    if seen is not None:
        metrics.resumed(CHANNEL, not replay.reset_reason)
    if replay.reset_reason:
        first.append(connection.notice("reset", {"reason": replay.reset_reason}))
    connection.go_live([*first, *replay.missed], replayed_up_to=replay.inbox.last_seq)
