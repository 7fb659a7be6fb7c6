"""Fan-out: writes delivered events to connections, at most once for each connection and iteration of the event loop."""

import asyncio
from collections.abc import Collection, Mapping

import structlog

from service.common.close_reasons import INTERNAL_ERROR
from service.common.tasks import count_failure
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.event_batch import EventBatch

log = structlog.get_logger()

Failures = list[tuple[Connection, Exception]]


class FanOut:
    """Delivers events to the connections of the registry.

    Delivered events gather in batches until the end of the iteration of the event loop. If an iteration has only one
    batch, as when many talk in one group, its events are joined once for all connections, and a connection with nothing
    else to write costs no more than the write (the direct path: see `Connection.direct_transport`). Otherwise each
    connection queues its events and writes the queue at the end of the iteration.

    Invariants: delivery never blocks; a connection gets events in the order of their delivery, in at most one write for
    each iteration; a connection that fails is closed with `internal_error`, so that its client reconnects and fetches
    what it missed, and no other connection is affected.
    """

    def __init__(self, connections_by_user: Mapping[str, Collection[Connection]]) -> None:
        """`connections_by_user`: the registry's own mapping, which is only read here."""
        self._connections_by_user = connections_by_user
        self._batches: list[EventBatch] = []
        self._connections_to_flush: list[Connection] = []
        self._flush_scheduled = False

    def deliver(self, user_ids: Collection[str] | None, event: Event) -> None:
        """Send `event` to the connections that these users (None: all users) have to its channel on this process, at
        the end of this iteration of the event loop. The caller must not change `user_ids` afterwards."""
        if event.substitute:
            self.deliver(*event.substitute)
        if self._batches and self._batches[-1].try_add(user_ids, event):
            return
        self._schedule_flush()
        self._batches.append(EventBatch(user_ids, event))

    def flush_pending_batches(self) -> None:
        """Queue all events delivered so far, so that whatever happens to a connection next comes after them."""
        if self._batches:
            self._flush_batches(direct=False)

    def schedule_write(self, connection: Connection) -> None:
        """Call `connection.flush` at the end of this iteration of the event loop."""
        self._schedule_flush()
        self._connections_to_flush.append(connection)

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        try:
            if len(self._batches) == 1:
                self._flush_batches(direct=True)
            # Callbacks of connections that were closed may have delivered more.
            while self._batches:
                self._flush_batches(direct=False)
        finally:
            self._flush_scheduled = False
            connections, self._connections_to_flush = self._connections_to_flush, []
            failures: Failures = []
            for connection in connections:
                try:
                    connection.flush()
                except Exception as error:
                    failures.append((connection, error))
            self._disconnect_failed(failures)

    def _flush_batches(self, *, direct: bool) -> None:
        batches, self._batches = self._batches, []
        slow: list[Connection] = []
        failures: Failures = []
        for batch in batches:
            self._fan_out(batch, direct, slow, failures)
        # Not while walking the connections: closing unregisters them, and callbacks may deliver more events, which
        # come after these batches.
        for connection in slow:
            try:
                connection.disconnect_slow()
            except Exception as error:
                failures.append((connection, error))
        self._disconnect_failed(failures)

    def _fan_out(self, batch: EventBatch, direct: bool, slow: list[Connection], failures: Failures) -> None:
        """Queue `batch` for each of its connections; collect those with a full queue in `slow`, and those that failed
        in `failures`. `direct`: write it, rather than queue it, to connections that have nothing queued and nothing to
        filter; only allowed if the iteration has no other batch."""
        connections_by_user = self._connections_by_user
        channel, min_sequence, all_sequenced = batch.channel, batch.min_sequence, batch.all_sequenced
        recipients = batch.recipients
        if recipients is None:
            recipients = connections_by_user
        elif len(recipients) > len(connections_by_user):
            recipients = connections_by_user.keys() & recipients
        for user_id in recipients:
            for connection in connections_by_user.get(user_id, ()):
                if connection.channel == channel:
                    # Without an exception, a `try` costs nothing (Python 3.11 and later).
                    try:
                        if direct and (all_sequenced or connection.event_filter is None):
                            transport = connection.direct_transport
                            if transport and min_sequence > connection.replayed_up_to:
                                transport.write(connection.encode(batch))
                                continue
                        for event in batch.events:
                            if not connection.try_enqueue(event):
                                slow.append(connection)
                                break
                    except Exception as error:
                        failures.append((connection, error))

    def _disconnect_failed(self, failures: Failures) -> None:
        """Close the connections of `failures`: an event is missing there. One log entry, for the first of them: what is
        wrong with an event fails for every connection."""
        if not failures:
            return
        count_failure("fan_out")
        log.error("fan_out_failed", connections=len(failures), exc_info=failures[0][1])
        for connection, _ in failures:
            try:
                connection.close(*INTERNAL_ERROR)
            except Exception:
                # The timer of the connection aborts it.
                log.exception("close_failed", connection_id=connection.id)
