"""The registry of per-user queues: which connections, of which tabs and devices, each user has on this process."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.event_batch import EventBatch
from service.realtime.timer_wheel import TimerWheel


class Registry:
    """All live connections of this process, by user.

    Invariants: mutation is synchronous, so there is no lock and no await inside; delivery never blocks; a user with
    no connection left is gone from it; a connection is closed once, with a reason; what is delivered to one
    connection leaves in the order of delivery, in at most one write a turn of the loop.

    What is delivered gathers in batches until the end of the turn. Where the turn has one batch, as when many talk in
    one group, it is joined once, and a connection for which nothing else waits costs no more than the write.
    """

    def __init__(self, timers: TimerWheel) -> None:
        self.timers = timers
        self._users: dict[str, set[Connection]] = {}
        self._batches: list[EventBatch] = []
        self._dirty: list[Connection] = []
        self._flush_scheduled = False
        self._count_by_channel: defaultdict[str, int] = defaultdict(int)
        self._watchers: list[Callable[[str], None]] = []
        self._closing: set[Connection] = set()
        self._empty: asyncio.Event | None = None
        self._closed_callbacks: list[Callable[[Connection, str], None]] = []
        self._overflow_callbacks: list[Callable[[Connection, str], None]] = []
        self.draining = False
        """Whether this process is about to stop, and takes no new connections."""

    def __len__(self) -> int:
        """How many connections there are."""
        return sum(self._count_by_channel.values())

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._users

    def __iter__(self) -> Iterator[Connection]:
        """Every connection, as of now: whoever walks it may close them."""
        return iter([connection for connections in self._users.values() for connection in connections])

    def has_any(self, user_ids: Collection[str]) -> bool:
        return not self._users.keys().isdisjoint(user_ids)

    def user_ids(self) -> list[str]:
        return list(self._users)

    def connections(self, user_id: str) -> frozenset[Connection]:
        return frozenset(self._users.get(user_id, ()))

    def count(self, channel: str) -> int:
        return self._count_by_channel.get(channel, 0)

    def on_user_presence_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback(user_id)` whenever a user's first connection comes or the last one goes."""
        self._watchers.append(callback)

    @contextmanager
    def registration(self, connection: Connection) -> Iterator[None]:
        """Register `connection`, so that nothing is missed while its past is read; take it out if that fails."""
        self.register(connection)
        try:
            yield
        except BaseException:
            self.unregister(connection)
            raise

    def register(self, connection: Connection) -> None:
        # What was delivered before it came is not for it.
        self.flush_pending_batches()
        connections = self._users.get(connection.user_id)
        if connections is None:
            self._users[connection.user_id] = {connection}
            self._count_by_channel[connection.channel] += 1
            self._changed(connection.user_id)
        elif connection not in connections:
            connections.add(connection)
            self._count_by_channel[connection.channel] += 1

    def unregister(self, connection: Connection) -> None:
        connections = self._users.get(connection.user_id)
        if connections is None or connection not in connections:
            return
        connections.remove(connection)
        self._count_by_channel[connection.channel] -= 1
        if not connections:
            del self._users[connection.user_id]
            self._changed(connection.user_id)
            self._tell_if_empty()

    def deliver(self, user_ids: Collection[str] | None, event: Event) -> None:
        """Let each connection of its channel that these users (None: all) have here carry `event`, from the end of this
        turn of the loop on. `user_ids` must not change any more."""
        if self._batches and self._batches[-1].try_add(user_ids, event):
            return
        self._schedule_flush()
        self._batches.append(EventBatch(user_ids, event))

    def flush_pending_batches(self) -> None:
        """Queue what has been delivered so far, so that whatever happens to a connection now comes after it."""
        if self._batches:
            self._flush_batches(direct=False)

    def send_notice(
        self, user_ids: Collection[str] | None, channel: str | None, type: str, fields: dict[str, Any]
    ) -> None:
        """Tell the connections of these users (None: all) and that channel (None: any) something about themselves."""
        for connection in self if user_ids is None else [c for user in user_ids for c in self.connections(user)]:
            if channel is None or connection.channel == channel:
                connection.send(connection.notice(type, fields))

    def disconnect_matching(self, predicate: Callable[[Connection], bool], code: int, reason: str) -> int:
        """Close every connection that `predicate` picks, without what waits for it; how many those were."""
        self.flush_pending_batches()
        picked = [connection for connection in self if predicate(connection)]
        for connection in picked:
            # Whoever is shut out gets nothing more, not even what was said before.
            connection.queue.clear()
            connection.close(code, reason)
        return len(picked)

    def mark_closing(self, connection: Connection, reason: str) -> None:
        """`connection`, no longer registered, is closing; `left` when its transport has gone."""
        self._closing.add(connection)
        for callback in self._closed_callbacks:
            callback(connection, reason)

    def mark_disconnected(self, connection: Connection) -> None:
        self._closing.discard(connection)
        self._tell_if_empty()

    def on_connection_closed(self, callback: Callable[[Connection, str], None]) -> None:
        """Call `callback(connection, reason)` for every connection that closes."""
        self._closed_callbacks.append(callback)

    def on_queue_overflow(self, callback: Callable[[Connection, str], None]) -> None:
        """Call `callback(connection, bound)` for every queue that is full, by the bound "events" or "bytes"."""
        self._overflow_callbacks.append(callback)

    def report_overflow(self, connection: Connection, bound: str) -> None:
        for callback in self._overflow_callbacks:
            callback(connection, bound)

    async def wait_until_empty(self, timeout: float) -> int:
        """Wait up to `timeout` seconds until every connection has gone; how many have not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                # The last one to close is out of the one set before it is in the other.
                while self._users or self._closing:
                    self._empty = asyncio.Event()
                    await self._empty.wait()
        return len(self) + len(self._closing)

    def schedule_write(self, connection: Connection) -> None:
        """Let `connection` write at the end of this turn of the loop, together with all others that have something."""
        self._schedule_flush()
        self._dirty.append(connection)

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        try:
            if len(self._batches) == 1:
                self._flush_batches(direct=True)
            # Whoever is told that a connection has closed may have something to say, too.
            while self._batches:
                self._flush_batches(direct=False)
        finally:
            self._flush_scheduled = False
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                connection.flush()

    def _flush_batches(self, *, direct: bool) -> None:
        batches, self._batches = self._batches, []
        overflowed = [connection for batch in batches for connection in self._fan_out(batch, direct=direct)]
        # Closing takes a connection out of the sets that are walked, and may make others say something: that comes
        # after what was delivered before.
        for connection in overflowed:
            connection.disconnect_slow()

    def _fan_out(self, batch: EventBatch, *, direct: bool) -> list[Connection]:
        """Queue `batch` for each of its connections; for which of them it was too much. `direct`: write it where
        nothing waits and nothing is decided; for that, nothing else may come in this turn."""
        users = self._users
        to, channel, min_sequence, all_sequenced = batch.to, batch.channel, batch.min_sequence, batch.all_sequenced
        if to is None:
            to = users
        elif len(to) > len(users):
            to = users.keys() & to
        overflowed: list[Connection] = []
        for user_id in to:
            for connection in users.get(user_id, ()):
                if connection.channel == channel:
                    direct_transport = (
                        connection.direct_transport
                        if direct and (all_sequenced or connection.event_filter is None)
                        else None
                    )
                    if direct_transport and min_sequence > connection.replayed_up_to:
                        direct_transport.write(connection.encode(batch))
                        continue
                    for event in batch.events:
                        if not connection.try_enqueue(event):
                            overflowed.append(connection)
                            break
        return overflowed

    def _tell_if_empty(self) -> None:
        if self._empty and not self._users and not self._closing:
            self._empty.set()

    def _changed(self, user_id: str) -> None:
        for callback in self._watchers:
            callback(user_id)
