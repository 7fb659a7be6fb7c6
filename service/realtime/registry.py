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

    What is delivered gathers in bursts until the end of the turn. Where the turn has one burst, as when many talk in
    one group, it is joined once, and a connection for which nothing else waits costs no more than the write.
    """

    def __init__(self, timers: TimerWheel) -> None:
        self.timers = timers
        self._users: dict[str, set[Connection]] = {}
        self._bursts: list[EventBatch] = []
        self._dirty: list[Connection] = []
        self._awake = False
        self._feeds: defaultdict[str, int] = defaultdict(int)
        self._watchers: list[Callable[[str], None]] = []
        self._leaving: set[Connection] = set()
        self._empty: asyncio.Event | None = None
        self._closed_callbacks: list[Callable[[Connection, str], None]] = []
        self._overflow_callbacks: list[Callable[[Connection, str], None]] = []
        self.draining = False
        """Whether this process is about to stop, and takes no new connections."""

    def __len__(self) -> int:
        """How many connections there are."""
        return sum(self._feeds.values())

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._users

    def __iter__(self) -> Iterator[Connection]:
        """Every connection, as of now: whoever walks it may close them."""
        return iter([connection for connections in self._users.values() for connection in connections])

    def has_any(self, user_ids: Collection[str]) -> bool:
        return not self._users.keys().isdisjoint(user_ids)

    def users(self) -> list[str]:
        return list(self._users)

    def connections(self, user_id: str) -> frozenset[Connection]:
        return frozenset(self._users.get(user_id, ()))

    def count(self, feed: str) -> int:
        return self._feeds.get(feed, 0)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call `callback(user_id)` whenever a user's first connection comes or the last one goes."""
        self._watchers.append(callback)

    @contextmanager
    def joining(self, connection: Connection) -> Iterator[None]:
        """Register `connection`, so that nothing is missed while its past is read; take it out if that fails."""
        self.add(connection)
        try:
            yield
        except BaseException:
            self.discard(connection)
            raise

    def add(self, connection: Connection) -> None:
        # What was delivered before it came is not for it.
        self.spread()
        connections = self._users.get(connection.user_id)
        if connections is None:
            self._users[connection.user_id] = {connection}
            self._feeds[connection.feed] += 1
            self._changed(connection.user_id)
        elif connection not in connections:
            connections.add(connection)
            self._feeds[connection.feed] += 1

    def discard(self, connection: Connection) -> None:
        connections = self._users.get(connection.user_id)
        if connections is None or connection not in connections:
            return
        connections.remove(connection)
        self._feeds[connection.feed] -= 1
        if not connections:
            del self._users[connection.user_id]
            self._changed(connection.user_id)
            self._tell_if_empty()

    def deliver(self, user_ids: Collection[str] | None, event: Event) -> None:
        """Let each connection of its feed that these users (None: all) have here carry `event`, from the end of this
        turn of the loop on. `user_ids` must not change any more."""
        if self._bursts and self._bursts[-1].takes(user_ids, event):
            return
        self._wake()
        self._bursts.append(EventBatch(user_ids, event))

    def spread(self) -> None:
        """Queue what has been delivered so far, so that whatever happens to a connection now comes after it."""
        if self._bursts:
            self._spread(straight=False)

    def notify(self, user_ids: Collection[str] | None, feed: str | None, type: str, fields: dict[str, Any]) -> None:
        """Tell the connections of these users (None: all) and that feed (None: any) something about themselves."""
        for connection in self if user_ids is None else [c for user in user_ids for c in self.connections(user)]:
            if feed is None or connection.feed == feed:
                connection.send(connection.notice(type, fields))

    def close_where(self, predicate: Callable[[Connection], bool], code: int, reason: str) -> int:
        """Close every connection that `predicate` picks, without what waits for it; how many those were."""
        self.spread()
        picked = [connection for connection in self if predicate(connection)]
        for connection in picked:
            # Whoever is shut out gets nothing more, not even what was said before.
            connection.queue.clear()
            connection.close(code, reason)
        return len(picked)

    def leaving(self, connection: Connection, reason: str) -> None:
        """`connection`, no longer registered, is closing; `left` when its transport has gone."""
        self._leaving.add(connection)
        for callback in self._closed_callbacks:
            callback(connection, reason)

    def left(self, connection: Connection) -> None:
        self._leaving.discard(connection)
        self._tell_if_empty()

    def on_closed(self, callback: Callable[[Connection, str], None]) -> None:
        """Call `callback(connection, reason)` for every connection that closes."""
        self._closed_callbacks.append(callback)

    def on_overflow(self, callback: Callable[[Connection, str], None]) -> None:
        """Call `callback(connection, bound)` for every queue that is full, by the bound "events" or "bytes"."""
        self._overflow_callbacks.append(callback)

    def overflowed(self, connection: Connection, bound: str) -> None:
        for callback in self._overflow_callbacks:
            callback(connection, bound)

    async def emptied(self, timeout: float) -> int:
        """Wait up to `timeout` seconds until every connection has gone; how many have not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                # The last one to close is out of the one set before it is in the other.
                while self._users or self._leaving:
                    self._empty = asyncio.Event()
                    await self._empty.wait()
        return len(self) + len(self._leaving)

    def flush_soon(self, connection: Connection) -> None:
        """Let `connection` write at the end of this turn of the loop, together with all others that have something."""
        self._wake()
        self._dirty.append(connection)

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        try:
            if len(self._bursts) == 1:
                self._spread(straight=True)
            # Whoever is told that a connection has closed may have something to say, too.
            while self._bursts:
                self._spread(straight=False)
        finally:
            self._awake = False
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                connection.flush()

    def _spread(self, *, straight: bool) -> None:
        bursts, self._bursts = self._bursts, []
        overflowed = [connection for burst in bursts for connection in self._hand_out(burst, straight=straight)]
        # Closing takes a connection out of the sets that are walked, and may make others say something: that comes
        # after what was delivered before.
        for connection in overflowed:
            connection.overflow()

    def _hand_out(self, burst: EventBatch, *, straight: bool) -> list[Connection]:
        """Queue `burst` for each of its connections; for which of them it was too much. `straight`: write it where
        nothing waits and nothing is decided; for that, nothing else may come in this turn."""
        users = self._users
        to, feed, lowest, plain = burst.to, burst.feed, burst.lowest, burst.plain
        if to is None:
            to = users
        elif len(to) > len(users):
            to = users.keys() & to
        overflowed: list[Connection] = []
        for user_id in to:
            for connection in users.get(user_id, ()):
                if connection.feed == feed:
                    clear = connection.clear if straight and (plain or connection.skip is None) else None
                    if clear and lowest > connection.after:
                        clear.write(connection.encode(burst))
                        continue
                    for event in burst.events:
                        if not connection.offer(event):
                            overflowed.append(connection)
                            break
        return overflowed

    def _tell_if_empty(self) -> None:
        if self._empty and not self._users and not self._leaving:
            self._empty.set()

    def _changed(self, user_id: str) -> None:
        for callback in self._watchers:
            callback(user_id)
