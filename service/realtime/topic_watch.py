"""Watching: connections that get the changes of topics which they have named, on any process."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure
from service.realtime.addresses import user_address, watch_address
from service.realtime.bus import Bus
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.followed_addresses import FollowedAddresses

log = structlog.get_logger()

SELF = ""
"""The change of the topic itself. It is never dropped, and any other may be."""
INTERVAL = 0.25
"""Seconds in which the changes of a topic gather, after the first one: they are read and sent together."""
MAX_CHANGES = 50
"""Changes of a topic that gather. There may be a thousand a second, and nobody reads so many."""
MAX_DELIVERIES = 10_000
"""Events that the watchers of one topic get together in an INTERVAL: fewer different ones if they are many."""
CHUNK = 500
"""Connections that get their events before other tasks run."""
CONCURRENT_READS = 8
RETRY_INTERVAL = 5.0
"""Seconds until a topic is read again after that has failed."""


class Watched(NamedTuple):
    """An event for those who watch, except those whose user blocks one of the users whose ids `author_ids` has."""

    event: Event
    author_ids: frozenset[str]


Read = Callable[[str, Collection[str]], Awaitable[Sequence[Watched]]]
"""`read(topic, changes)` reads what has changed, and returns the events, the most important one first."""


@dataclass(slots=True)
class Watcher:
    """What one connection watches. `blocked`: the users whom its user blocks; None until they have been read."""

    topics: frozenset[str] = frozenset()
    blocked: frozenset[str] | None = None
    block_changes: int = 0


class TopicWatch:
    """A change is published as its name alone, to the processes that have a connection which watches the topic: an
    address of the bus for each topic. There it is read from the database, once for all connections and all changes of
    an INTERVAL, and encoded once for each event. So the costs do not grow with the number of changes, and what clients
    get is the state at the time of the read, in whichever order changes arrive.

    While the database does not answer, changes gather. They are ephemeral: connections whose queue is full miss some,
    and so do all if there are too many. After an interruption of the bus, the SELF of each topic is read again, and so
    are the blocks of those who watch.
    """

    def __init__(self, bus: Bus, read: Read, blocked_by: Callable[[str], Awaitable[set[str]]]) -> None:
        """`blocked_by(user_id)` returns the users whom this user blocks."""
        self._bus = bus
        self._read = read
        self._blocked_by = blocked_by
        self._watchers: dict[Connection, Watcher] = {}
        self._connections: dict[str, set[Connection]] = {}
        """By topic."""
        self._by_user: dict[str, set[Connection]] = {}
        self._changes: dict[str, dict[str, None]] = {}
        """By topic: those that are not read yet."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._addresses = FollowedAddresses(bus, watch_address, lambda topic: self._add(topic, [SELF]))
        self._slots = asyncio.Semaphore(CONCURRENT_READS)
        self._doubtful: set[str] = set()
        """Users of whose blocks one may have been missed."""
        self._rereading: asyncio.Task[None] | None = None
        bus.on("watched", self._on_changes)
        bus.on("watcher_blocks", self._on_block)
        bus.on_doubt(self._on_doubt)
        bus.on_gap(self._on_gap)

    async def close(self) -> None:
        for task in (self._rereading, *self._tasks.values()):
            await cancel_and_wait(task)

    def publish(self, topic: str, changes: Collection[str]) -> None:
        """Tell those who watch `topic` of changes. Never blocks."""
        self._bus.publish("watched", {"topic": topic, "changes": list(changes)}, to=[watch_address(topic)])

    def publish_block(self, user_id: str, blocked_id: str, exists: bool) -> None:
        """Tell the processes with connections of a user that they block somebody, or do not any more. Never blocks."""
        head = {"user_id": user_id, "blocked_id": blocked_id, "exists": exists}
        self._bus.publish("watcher_blocks", head, to=[user_address(user_id)])

    async def watch(self, connection: Connection, topics: Iterable[str]) -> None:
        """Let the connection watch these topics instead of those before. Returns when their changes arrive, at the
        latest after a second. Raises Unavailable; the connection then gets nothing yet."""
        if connection not in self._watchers:
            self._watchers[connection] = Watcher()
            self._by_user.setdefault(connection.user_id, set()).add(connection)
            connection.on_close(lambda: self._forget(connection))
        watcher = self._watchers.get(connection)
        if watcher is None:
            # It has been closed.
            return
        self._set_topics(connection, watcher, frozenset(topics))
        while watcher.blocked is None:
            changes = watcher.block_changes
            blocked = await self._blocked_by(connection.user_id)
            if changes == watcher.block_changes:
                watcher.blocked = frozenset(blocked)
        await self._addresses.wait(watcher.topics)

    @property
    def watcher_count(self) -> int:
        """The number of connections that watch something."""
        return len(self._watchers)

    def _set_topics(self, connection: Connection, watcher: Watcher, topics: frozenset[str]) -> None:
        for topic in topics - watcher.topics:
            if topic not in self._connections:
                self._connections[topic] = set()
                self._addresses.follow(topic)
            self._connections[topic].add(connection)
        for topic in watcher.topics - topics:
            self._connections[topic].discard(connection)
            if not self._connections[topic]:
                del self._connections[topic]
                self._addresses.unfollow(topic)
        watcher.topics = topics

    def _forget(self, connection: Connection) -> None:
        watcher = self._watchers.pop(connection)
        self._set_topics(connection, watcher, frozenset())
        own = self._by_user[connection.user_id]
        own.discard(connection)
        if not own:
            del self._by_user[connection.user_id]

    def _on_doubt(self, address: str) -> None:
        user_id = address.removeprefix(user_address(""))
        if user_id != address and user_id in self._by_user:
            for connection in self._by_user[user_id]:
                self._watchers[connection].block_changes += 1
            self._doubtful.add(user_id)
            if self._rereading is None or self._rereading.done():
                self._rereading = asyncio.create_task(self._reread_blocks())

    def _on_gap(self) -> None:
        for topic in self._connections:
            self._add(topic, [SELF])

    def _on_changes(self, head: dict[str, Any], body: bytes) -> None:
        self._add(head["topic"], head["changes"])

    def _on_block(self, head: dict[str, Any], body: bytes) -> None:
        for connection in self._by_user.get(head["user_id"], ()):
            watcher = self._watchers[connection]
            watcher.block_changes += 1
            if watcher.blocked is not None:
                changed = {head["blocked_id"]}
                watcher.blocked = watcher.blocked | changed if head["exists"] else watcher.blocked - changed

    async def _reread_blocks(self) -> None:
        """Read the blocks of the doubtful users, one after the other: after an interruption it may be all of them."""
        while self._doubtful:
            user_id = self._doubtful.pop()
            before = {each: self._watchers[each].block_changes for each in self._by_user.get(user_id, ())}
            try:
                blocked = frozenset(await self._blocked_by(user_id)) if before else frozenset()
            except Exception as error:
                count_failure("watch")
                log.warning("blocks_not_read", error=type(error).__name__)
                self._doubtful.add(user_id)
                await asyncio.sleep(RETRY_INTERVAL)
                continue
            for connection, changes in before.items():
                watcher = self._watchers.get(connection)
                if watcher and watcher.block_changes != changes:
                    self._doubtful.add(user_id)
                elif watcher and watcher.blocked is not None:
                    watcher.blocked = blocked

    def _add(self, topic: str, changes: Iterable[str]) -> None:
        if topic not in self._connections:
            return
        gathered = self._changes.setdefault(topic, {})
        for change in changes:
            if change == SELF or len(gathered) < MAX_CHANGES:
                gathered[change] = None
        if topic not in self._tasks:
            self._tasks[topic] = asyncio.create_task(self._deliver(topic))

    async def _deliver(self, topic: str) -> None:
        """Read and send the changes of a topic until there are none."""
        try:
            while changes := self._changes.pop(topic, None):
                pause = INTERVAL
                try:
                    async with self._slots:
                        found = await self._read(topic, changes)
                    await self._send(topic, found)
                except Exception as error:
                    count_failure("watch")
                    log.warning("watched_not_read", error=type(error).__name__)
                    # What only this read meets would else keep the topic from being read for ever.
                    self._add(topic, [SELF, *changes] if isinstance(error, Unavailable) else [SELF])
                    pause = RETRY_INTERVAL
                await asyncio.sleep(pause)
        finally:
            del self._tasks[topic]

    async def _send(self, topic: str, found: Sequence[Watched]) -> None:
        connections = list(self._connections.get(topic, ()))
        affordable = found[: max(1, MAX_DELIVERIES // max(1, len(connections)))]
        for index, connection in enumerate(connections):
            watcher = self._watchers.get(connection)
            # None: it was closed while others had their turn.
            if watcher and watcher.blocked is not None:
                for event, author_ids in affordable:
                    if watcher.blocked.isdisjoint(author_ids):
                        connection.send(event)
            if index % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
