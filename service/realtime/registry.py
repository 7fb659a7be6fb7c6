"""The registry: which connections, of all tabs and devices, each user has on this process."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from service.common.close_reasons import OVERLOADED
from service.realtime.connection import Connection
from service.realtime.fan_out import FanOut
from service.realtime.inbound_budget import InboundBudget
from service.realtime.timer_wheel import TimerWheel

log = structlog.get_logger()


class Registry:
    """All live connections of this process, by user and by session. Each has a queue that `fan_out` fills with
    delivered events.

    Invariants: all changes are synchronous, so there is no lock and no `await` inside one; a user or session without a
    connection has no entry; a connection is closed once, with a reason; a connection gets no event that was delivered
    before it was registered.
    """

    def __init__(self, timers: TimerWheel) -> None:
        self.timers = timers
        # Most users and sessions have one connection, and a tuple is the smallest collection.
        self._connections_by_user: dict[str, tuple[Connection, ...]] = {}
        self._connections_by_session: dict[str, tuple[Connection, ...]] = {}
        self.fan_out = FanOut(self._connections_by_user)
        self.inbound = InboundBudget(self._disconnect_overloading)
        self._count_by_channel: defaultdict[str, int] = defaultdict(int)
        self._closing: set[Connection] = set()
        self._empty: asyncio.Event | None = None
        self._presence_callbacks: list[Callable[[str], None]] = []
        self._closed_callbacks: list[Callable[[Connection, str], None]] = []
        self._overflow_callbacks: list[Callable[[Connection, str], None]] = []
        self.draining = False
        """Whether this process is about to stop and accepts no new connections."""

    def __len__(self) -> int:
        """Return the number of registered connections."""
        return sum(self._count_by_channel.values())

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a snapshot of all connections, so that the caller may close them."""
        return iter([connection for connections in self._connections_by_user.values() for connection in connections])

    def has_user(self, user_id: str) -> bool:
        """Return whether this user has a connection here."""
        return user_id in self._connections_by_user

    def has_any_user(self, user_ids: Collection[str]) -> bool:
        """Return whether any of these users has a connection here."""
        return not self._connections_by_user.keys().isdisjoint(user_ids)

    def user_ids(self) -> list[str]:
        """Return all users with a connection here."""
        return list(self._connections_by_user)

    def connections(self, user_id: str) -> frozenset[Connection]:
        """Return the connections of a user."""
        return frozenset(self._connections_by_user.get(user_id, ()))

    def count(self, channel: str) -> int:
        """Return the number of connections to a channel."""
        return self._count_by_channel.get(channel, 0)

    @contextmanager
    def registration(self, connection: Connection) -> Iterator[None]:
        """Register `connection`, so that it misses no event while the block reads what to replay. If the block raises,
        unregister it again."""
        self.register(connection)
        try:
            yield
        except BaseException:
            self.unregister(connection)
            raise

    def register(self, connection: Connection) -> None:
        """Add `connection`: from now on it gets the events of its user and channel."""
        # Events delivered before this moment are not for the new connection.
        self.fan_out.flush_pending_batches()
        others = self._connections_by_user.get(connection.user_id, ())
        if connection in others:
            return
        _add(self._connections_by_user, connection.user_id, connection)
        _add(self._connections_by_session, connection.session_id, connection)
        self._count_by_channel[connection.channel] += 1
        if not others:
            self._notify_presence_change(connection.user_id)

    def unregister(self, connection: Connection) -> None:
        """Remove `connection`. Does nothing if it is not registered."""
        if connection not in self._connections_by_user.get(connection.user_id, ()):
            return
        _remove(self._connections_by_user, connection.user_id, connection)
        _remove(self._connections_by_session, connection.session_id, connection)
        self._count_by_channel[connection.channel] -= 1
        if connection.user_id not in self._connections_by_user:
            self._notify_presence_change(connection.user_id)
            self._check_empty()

    def send_notice(
        self, user_ids: Collection[str] | None, channel: str | None, type: str, fields: dict[str, Any]
    ) -> None:
        """Send a notice (see `Connection.notice`) to the connections that these users (None: all) have to this channel
        (None: any)."""
        for connection in self if user_ids is None else [c for user in user_ids for c in self.connections(user)]:
            if channel is None or connection.channel == channel:
                connection.send(connection.notice(type, fields))

    def disconnect_sessions(self, session_ids: Collection[str], code: int, reason: str) -> int:
        """Close the connections of these sessions, without writing what is queued for them. Return their number."""
        by_session = self._connections_by_session
        return self._disconnect([c for session_id in session_ids for c in by_session.get(session_id, ())], code, reason)

    # Called by connections.

    def change_session(self, connection: Connection, session_id: str) -> None:
        """Note that `connection` belongs to another session of its user from now on."""
        is_registered = connection in self._connections_by_user.get(connection.user_id, ())
        if is_registered:
            _remove(self._connections_by_session, connection.session_id, connection)
        connection.session_id = session_id
        if is_registered:
            _add(self._connections_by_session, session_id, connection)

    def mark_closing(self, connection: Connection, reason: str) -> None:
        """Note that `connection` is closing, and call the callbacks of `on_connection_closed`. Until its transport is
        gone, `wait_until_empty` waits for it."""
        self._closing.add(connection)
        for callback in self._closed_callbacks:
            callback(connection, reason)

    def mark_disconnected(self, connection: Connection) -> None:
        """Note that the transport of `connection` is gone."""
        self._closing.discard(connection)
        self._check_empty()

    def report_overflow(self, connection: Connection, limit: str) -> None:
        """Call the callbacks of `on_queue_overflow`."""
        for callback in self._overflow_callbacks:
            callback(connection, limit)

    # Callbacks.

    def on_user_presence_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback(user_id)` whenever a user's first connection is registered or the last one unregistered."""
        self._presence_callbacks.append(callback)

    def on_connection_closed(self, callback: Callable[[Connection, str], None]) -> None:
        """Call `callback(connection, reason)` once for every connection that had a transport and closes."""
        self._closed_callbacks.append(callback)

    def on_queue_overflow(self, callback: Callable[[Connection, str], None]) -> None:
        """Call `callback(connection, limit)` whenever the queue of a connection is full: the connection is closed, or
        gets a `reset` later. `limit`, "events" or "bytes", is what was reached."""
        self._overflow_callbacks.append(callback)

    async def wait_until_empty(self, timeout: float) -> int:
        """Wait up to `timeout` seconds until all connections and their transports are gone. Return how many are not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                # A closing connection is unregistered before it is marked as closing: both are empty for a moment.
                while self._connections_by_user or self._closing:
                    self._empty = asyncio.Event()
                    await self._empty.wait()
        return len(self) + len(self._closing)

    def _disconnect_overloading(self, user_id: str) -> None:
        closed = self._disconnect(self.connections(user_id), *OVERLOADED)
        log.warning("inbound_overload", user_id=user_id, connections=closed)

    def _disconnect(self, connections: Collection[Connection], code: int, reason: str) -> int:
        self.fan_out.flush_pending_batches()
        for connection in connections:
            # A user who has lost access gets nothing more, not even events from before.
            connection.queue.clear()
            connection.close(code, reason)
        return len(connections)

    def _check_empty(self) -> None:
        if self._empty and not self._connections_by_user and not self._closing:
            self._empty.set()

    def _notify_presence_change(self, user_id: str) -> None:
        for callback in self._presence_callbacks:
            callback(user_id)


def _add(index: dict[str, tuple[Connection, ...]], key: str, connection: Connection) -> None:
    index[key] = (*index.get(key, ()), connection)


def _remove(index: dict[str, tuple[Connection, ...]], key: str, connection: Connection) -> None:
    connections = index.pop(key)
    if len(connections) > 1:
        place = connections.index(connection)
        index[key] = connections[:place] + connections[place + 1 :]
