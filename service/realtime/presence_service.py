"""PresenceService: who is told of whose coming and going."""

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
from service.realtime.presence_store import RETRY_SECONDS, LastSeen, PresenceStore

MAX_BATCH = 500


class PresenceService:
    """Says how users are, `{online, last_seen}`, and tells those who watch them of every change."""

    def __init__(
        self,
        online: PresenceStore,
        bus: Bus,
        last_seen: LastSeen,
        event: Callable[[str, dict[str, Any]], Event],
    ) -> None:
        """`event(user_id, state)` makes the event that a watcher is sent."""
        self._online = online
        self._last_seen = last_seen
        self._event = event
        self._watchers: dict[str, set[Connection]] = {}
        self._watched: dict[Connection, frozenset[str]] = {}
        self._asking: dict[object, tuple[Collection[str], set[str]]] = {}
        """Of each question that is out: about whom, and whose state of these has changed since."""
        self._doubtful = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        bus.on("presence", self._on_presence)
        bus.on_gap(self._doubtful.set)

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._look_again, "presence_look_again", RETRY_SECONDS))

    async def close(self) -> None:
        await cancel_and_wait(self._task)

    async def states(self, user_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Of each user `{online, last_seen}`; `last_seen` is null while they are online, or never were. Raises
        Unavailable where the database is asked for a time and does not answer."""
        try:
            online = await self._online.online_globally(user_ids)
        except REDIS_ERRORS:
            online = self._online.online_locally(user_ids)
        return await self._states(user_ids, online)

    async def _states(self, user_ids: Collection[str], online: set[str]) -> dict[str, dict[str, Any]]:
        seen = await self._last_seen.look_up([user_id for user_id in user_ids if user_id not in online])
        times = {user_id: iso(moment) for user_id, moment in seen.items()}
        return {user_id: _state(user_id in online, times.get(user_id)) for user_id in user_ids}

    @property
    def subscriber_count(self) -> int:
        """How many connections watch someone."""
        return len(self._watched)

    def subscribe(self, connection: Connection, user_ids: Iterable[str]) -> None:
        """Tell `connection` of every change of these users, in place of those it watched before."""
        if connection not in self._watched:
            connection.on_close(lambda: self._unwatch(connection))
        else:
            self._unwatch(connection)
        if connection.closing:
            return
        self._watched[connection] = frozenset(user_ids)
        for user_id in self._watched[connection]:
            self._watchers.setdefault(user_id, set()).add(connection)

    async def subscribe_with_snapshot(self, connection: Connection, user_ids: Collection[str]) -> None:
        """As `watch`, and tell `connection` how it is now. Raises Unavailable."""
        # Watch before asking, so that no change falls between; one that does comes first, and is newer.
        self.subscribe(connection, user_ids)
        with self._changes(user_ids) as changed:
            states = await self.states(list(dict.fromkeys(user_ids)))
        for user_id, state in states.items():
            if user_id not in changed:
                connection.send(self._event(user_id, state))

    async def _look_again(self) -> None:
        """Words of coming and going were lost: whoever watches someone is told how it is now. Raises Unavailable, and
        what a Redis raises that is away again."""
        await self._doubtful.wait()
        self._doubtful.clear()
        try:
            watched = list(self._watchers)
            for first in range(0, len(watched), MAX_BATCH):
                batch = watched[first : first + MAX_BATCH]
                with self._changes(batch) as changed:
                    states = await self._states(batch, await self._online.online_globally(batch))
                for user_id in states.keys() - changed:
                    self._show(user_id, states[user_id])
        except BaseException:
            self._doubtful.set()
            raise

    @contextmanager
    def _changes(self, user_ids: Collection[str]) -> Iterator[set[str]]:
        """Whose state of these changes while the block runs: what is asked for meanwhile may be older."""
        question = object()
        changed: set[str] = set()
        self._asking[question] = (user_ids, changed)
        try:
            yield changed
        finally:
            del self._asking[question]

    def _unwatch(self, connection: Connection) -> None:
        for user_id in self._watched.pop(connection, ()):
            watchers = self._watchers[user_id]
            watchers.discard(connection)
            if not watchers:
                del self._watchers[user_id]

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        told = {user_id: _state(True, None) for user_id in head["came"]}
        told |= {user_id: _state(False, head["at"]) for user_id in head["went"]}
        for user_ids, changed in self._asking.values():
            changed.update(user_id for user_id in user_ids if user_id in told)
        for user_id, state in told.items():
            self._show(user_id, state)

    def _show(self, user_id: str, state: dict[str, Any]) -> None:
        watchers = self._watchers.get(user_id)
        if watchers:
            event = self._event(user_id, state)
            for connection in list(watchers):
                connection.send(event)


def _state(online: bool, last_seen: str | None) -> dict[str, Any]:
    return {"online": online, "last_seen": last_seen}
