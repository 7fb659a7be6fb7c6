"""Replay on connecting: a connection first receives the notifications that it missed, then live ones, without gaps."""

from service.notifications.models import CHANNEL
from service.notifications.service import NotificationService
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.event_stream import RETRY_MS
from service.telemetry.metrics import Metrics

UNKNOWN_ID = -1
"""Stands for a `Last-Event-ID` that Loa has not sent."""
MAX_DIGITS = 16


def parse_last_event_id(id: str | None) -> int | None:
    """Return the number in a `Last-Event-ID`, None if it is absent or empty, UNKNOWN_ID if it is not a number."""
    if not id:
        return None
    return int(id) if id.isascii() and id.isdigit() and len(id) <= MAX_DIGITS else UNKNOWN_ID


async def go_live(
    connection: Connection, service: NotificationService, last_seen: int | None, heartbeat: float, metrics: Metrics
) -> None:
    """Send the hello and the notifications after `last_seen`, then go live. Raises Unavailable.

    `heartbeat` is the interval of the server's pings or comments in seconds. The connection must be registered
    already. Live notifications that arrive meanwhile, or later from a process that stored them before, may be among
    those replayed; the connection drops them by their numbers.
    """
    replay = await service.replay(connection.user_id, last_seen)
    hello = {
        "seq": replay.inbox.last_seq,
        "unread_count": replay.inbox.unread,
        "heartbeat_interval": int(heartbeat),
        "token_expires_at": connection.token_expires_at,
    }
    fields = b"retry: %d\n" % RETRY_MS
    if not replay.missed:
        # So that an EventSource resumes from here if it is cut before its first notification. With something to replay
        # the id would skip what has not arrived yet.
        fields += b"id: %d\n" % replay.inbox.last_seq
    events = [Event("hello", hello, channel=CHANNEL, sse_fields=fields)]
    if last_seen is not None:
        metrics.resumed(CHANNEL, not replay.reset_reason)
    if replay.reset_reason:
        events.append(connection.notice("reset", {"reason": replay.reset_reason}))
    connection.go_live([*events, *replay.missed], replayed_up_to=replay.inbox.last_seq)
