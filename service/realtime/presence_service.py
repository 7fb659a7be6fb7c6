"""Presence as clients see it: who is online, and notifications of every change to subscribed connections."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from service.common.tasks import cancel_and_wait, run_forever
from service.common.times import iso
from service.datastores.redis import REDIS_ERRORS
from service.realtime.bus import Bus
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.presence_store import RETRY_INTERVAL, LastSeen, PresenceStore

MAX_BATCH = 500


class PresenceService:
    """Answers with the state of users, `{online, last_seen}`, and sends changes to the connections that subscribed."""

    def __init__(
        self,
        store: PresenceStore,
        bus: Bus,
        last_seen: LastSeen,
        event: Callable[[str, dict[str, Any]], Event],
    ) -> None:
        """`event(user_id, state)` makes the event that a subscriber is sent."""
        self._store = store
        self._last_seen = last_seen
        self._event = event
        self._subscribers: dict[str, set[Connection]] = {}
        self._subscriptions: dict[Connection, frozenset[str]] = {}
        self._inflight: dict[object, tuple[Collection[str], set[str]]] = {}
        """For each running read: the users it reads, and those of them whose state has changed since it began."""
        self._resync_needed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        bus.on("presence", self._on_presence)
        bus.on_gap(self._resync_needed.set)

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._resync, "presence_resync", RETRY_INTERVAL))

    async def close(self) -> None:
        await cancel_and_wait(self._task)

    async def states(self, user_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return `{online, last_seen}` for each user; `last_seen` is None for a user who is online or never was.

        Raises Unavailable if the database, which has the times, does not answer.
        """
        try:
            online = await self._store.online_globally(user_ids)
        except REDIS_ERRORS:
            online = self._store.online_locally(user_ids)
        return await self._states(user_ids, online)

    async def _states(self, user_ids: Collection[str], online: set[str]) -> dict[str, dict[str, Any]]:
        seen = await self._last_seen.look_up([user_id for user_id in user_ids if user_id not in online])
        times = {user_id: iso(moment) for user_id, moment in seen.items()}
        return {user_id: _state(user_id in online, times.get(user_id)) for user_id in user_ids}

    @property
    def subscriber_count(self) -> int:
        """The number of connections with a subscription."""
        return len(self._subscriptions)

    def subscribe(self, connection: Connection, user_ids: Iterable[str]) -> None:
        """Send `connection` every change of these users. Replaces its former subscription."""
        if connection not in self._subscriptions:
            connection.on_close(lambda: self._unsubscribe(connection))
        else:
            self._unsubscribe(connection)
        if connection.closing:
            return
        self._subscriptions[connection] = frozenset(user_ids)
        for user_id in self._subscriptions[connection]:
            self._subscribers.setdefault(user_id, set()).add(connection)

    async def subscribe_with_snapshot(self, connection: Connection, user_ids: Collection[str]) -> None:
        """Subscribe, and send the current states. Raises Unavailable."""
        # Subscribe before reading, so that no change is missed. A change during the read is sent first, and is newer
        # than what was read.
        self.subscribe(connection, user_ids)
        with self._track_changes(user_ids) as changed:
            states = await self.states(list(dict.fromkeys(user_ids)))
        for user_id, state in states.items():
            if user_id not in changed:
                connection.send(self._event(user_id, state))

    async def _resync(self) -> None:
        """Send the current states to all subscribers after messages of the bus may have been lost.

        Raises Unavailable, and one of REDIS_ERRORS; it is then repeated.
        """
        await self._resync_needed.wait()
        self._resync_needed.clear()
        try:
            user_ids = list(self._subscribers)
            for start in range(0, len(user_ids), MAX_BATCH):
                batch = user_ids[start : start + MAX_BATCH]
                with self._track_changes(batch) as changed:
                    states = await self._states(batch, await self._store.online_globally(batch))
                for user_id in states.keys() - changed:
                    self._push(user_id, states[user_id])
        except BaseException:
            self._resync_needed.set()
            raise

    @contextmanager
    def _track_changes(self, user_ids: Collection[str]) -> Iterator[set[str]]:
        """Yield the set of those of these users whose state changes during the block: what it reads may be older."""
        read = object()
        changed: set[str] = set()
        self._inflight[read] = (user_ids, changed)
        try:
            yield changed
        finally:
            del self._inflight[read]

    def _unsubscribe(self, connection: Connection) -> None:
        for user_id in self._subscriptions.pop(connection, ()):
            subscribers = self._subscribers[user_id]
            subscribers.discard(connection)
            if not subscribers:
                del self._subscribers[user_id]

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        states = {user_id: _state(True, None) for user_id in head["joined"]}
        states |= {user_id: _state(False, head["at"]) for user_id in head["left"]}
        for user_ids, changed in self._inflight.values():
            changed.update(user_id for user_id in user_ids if user_id in states)
        for user_id, state in states.items():
            self._push(user_id, state)

    def _push(self, user_id: str, state: dict[str, Any]) -> None:
        subscribers = self._subscribers.get(user_id)
        if subscribers:
            event = self._event(user_id, state)
            # A copy: sending may close a connection, which unsubscribes it.
            for connection in list(subscribers):
                connection.send(event)


def _state(online: bool, last_seen: str | None) -> dict[str, Any]:
    return {"online": online, "last_seen": last_seen}
