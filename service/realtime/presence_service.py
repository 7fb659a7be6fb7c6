"""Presence as clients see it: who is online, and notifications of every change to subscribed connections."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from service.common.tasks import cancel_and_wait, run_forever
from service.common.times import iso
from service.datastores.redis import REDIS_ERRORS
from service.realtime.addresses import presence_address, user_address
from service.realtime.bus import Bus
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.followed_addresses import FollowedAddresses
from service.realtime.presence_store import RETRY_INTERVAL, LastSeen, PresenceStore

MAX_BATCH = 500
RESYNC_DELAY = 0.1
"""Seconds from the first doubt about a user's state until the states of all doubtful users are read."""


class Visibility(Protocol):
    """Who sees whose presence."""

    async def visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
        """Return those of `user_ids` whose presence `viewer` sees. Raises Unavailable."""
        ...

    async def viewers(self, user_id: str, viewers: Collection[str]) -> set[str]:
        """Return those of `viewers` who see the presence of `user_id`. Raises Unavailable."""
        ...


class PresenceService:
    """Answers with the state of users, `{online, last_seen}`, and sends changes to the connections that subscribed.

    A user whose presence is not visible to the viewer looks like one who never was online. That is decided when a
    viewer asks or subscribes, and again for the users that `announce_visibility` names: subscriptions to those who are
    not visible any more end.

    A change is published to the address of the user's presence, to which this process subscribes while a connection
    here watches them. After a change may have been missed, the user's state is read and sent.
    """

    def __init__(
        self,
        store: PresenceStore,
        bus: Bus,
        last_seen: LastSeen,
        event: Callable[[str, dict[str, Any]], Event],
        visibility: Visibility | None = None,
    ) -> None:
        """`event(user_id, state)` makes the event that a subscriber is sent. Without `visibility`, no viewer sees any
        user."""
        self._bus = bus
        self._visibility = visibility
        self._to_check: dict[str, bool] = {}
        """Users whose visibility to others may have changed, and whether that of others to them may have, too."""
        self._visibility_reads: dict[object, set[str]] = {}
        """For each running read of visibility: the users whose visibility may have changed since it began."""
        self._check_needed = asyncio.Event()
        self._check_task: asyncio.Task[None] | None = None
        bus.on("visibility", self._on_visibility)
        self._store = store
        self._last_seen = last_seen
        self._event = event
        self._subscribers: dict[str, set[Connection]] = {}
        self._subscriptions: dict[Connection, frozenset[str]] = {}
        self._by_viewer: dict[str, set[Connection]] = {}
        """The connections with a subscription, by their user."""
        self._inflight: dict[object, tuple[Collection[str], set[str]]] = {}
        """For each running read: the users it reads, and those of them whose state has changed since it began."""
        self._known: dict[str, tuple[int, bool]] = {}
        """For watched users: the number of the last change that is known, and whether they are online since."""
        self._addresses = FollowedAddresses(bus, presence_address, lambda user_id: self._resync_soon([user_id]))
        self._doubtful: set[str] = set()
        """Watched users of whose changes one may have been missed."""
        self._resync_needed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        bus.on("presence", self._on_presence)
        bus.on_gap(self._on_gap)

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._resync, "presence_resync", RETRY_INTERVAL))
        self._check_task = asyncio.create_task(
            run_forever(self._check_visibility, "presence_visibility", RETRY_INTERVAL)
        )

    async def close(self) -> None:
        await cancel_and_wait(self._task)
        await cancel_and_wait(self._check_task)

    async def states(self, user_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return `{online, last_seen}` for each user; `last_seen` is None for a user who is online or never was.

        Raises Unavailable if the database, which has the times, does not answer.
        """
        try:
            online = await self._read(user_ids)
        except REDIS_ERRORS:
            online = self._store.online_locally(user_ids)
        return await self._states(user_ids, online)

    async def states_for(self, viewer: str, user_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Like `states`, as `viewer` sees them."""
        visible = await self._visible(viewer, user_ids)
        hidden = dict.fromkeys(user_ids, _state(False, None))
        return hidden | (await self.states(list(visible)) if visible else {})

    async def _visible(self, viewer: str, user_ids: Collection[str]) -> set[str]:
        return await self._visibility.visible(viewer, user_ids) if self._visibility and user_ids else set()

    async def _visible_now(self, viewer: str, user_ids: Collection[str]) -> set[str]:
        """Like `_visible`, read again if it may have changed meanwhile: by a change of one of these users, not by one
        of anybody, which at hundreds of changes a second would be each time."""
        concerned = {viewer, *user_ids}
        while True:
            read, changed = object(), set[str]()
            self._visibility_reads[read] = changed
            try:
                visible = await self._visible(viewer, user_ids)
            finally:
                del self._visibility_reads[read]
            if concerned.isdisjoint(changed):
                return visible

    def announce_visibility(self, user_ids: Collection[str]) -> None:
        """Tell the processes concerned that these users may not be visible any more to those who watch them, or they to
        them."""
        for user_id in user_ids:
            to = [presence_address(user_id), user_address(user_id)]
            self._bus.publish("visibility", {"user_ids": [user_id]}, to=to)

    def check_visibility(self, user_ids: Iterable[str]) -> None:
        """Check whom these users see, and who sees them, as far as that matters here: it may have changed."""
        for user_id in user_ids:
            if user_id in self._by_viewer or user_id in self._subscribers:
                self._to_check[user_id] = True
                self._check_needed.set()

    def _on_visibility(self, head: dict[str, Any], body: bytes) -> None:
        for changed in self._visibility_reads.values():
            changed.update(head["user_ids"])
        self.check_visibility(head["user_ids"])

    async def _check_visibility(self) -> None:
        """End the subscriptions to users who are not visible any more. Raises Unavailable; it is then repeated."""
        await self._check_needed.wait()
        self._check_needed.clear()
        while self._to_check:
            user_id, both = next(iter(self._to_check.items()))
            # Removed first: it may be announced again while the database is read.
            del self._to_check[user_id]
            watching = list(self._subscribers.get(user_id, ()))
            own = list(self._by_viewer.get(user_id, ())) if both else []
            try:
                seeing: set[str] = set()
                if watching and self._visibility:
                    seeing = await self._visibility.viewers(user_id, {each.user_id for each in watching})
                watched = set().union(*(self._subscriptions.get(connection, ()) for connection in own))
                visible = await self._visible(user_id, watched)
            except BaseException:
                # Meanwhile it may have been announced for both directions.
                self._to_check[user_id] = both or self._to_check.get(user_id, False)
                self._check_needed.set()
                raise
            for connection in watching:
                if connection.user_id not in seeing:
                    self._hide(connection, {user_id})
            for connection in own:
                self._hide(connection, watched - visible)

    def _hide(self, connection: Connection, user_ids: Collection[str]) -> None:
        """End the subscription to these users, as far as there is one; to the client they go offline."""
        hidden = self._subscriptions.get(connection, frozenset()).intersection(user_ids)
        if hidden:
            self.subscribe(connection, self._subscriptions[connection] - hidden)
            for user_id in hidden:
                connection.send(self._event(user_id, _state(False, None)))

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
        if connection.closing:
            return
        if connection not in self._subscriptions:
            connection.on_close(lambda: self._unsubscribe(connection))
        self._set_watched(connection, frozenset(user_ids))

    async def subscribe_with_snapshot(self, connection: Connection, user_ids: Collection[str]) -> None:
        """Subscribe to those of the users who are visible, and send the current states of all. Raises Unavailable."""
        user_ids = list(dict.fromkeys(user_ids))
        # Before their visibility and states are read, so that no change of either is missed.
        with self._addresses.following(user_ids):
            await self._addresses.wait(user_ids)
            visible = await self._visible_now(connection.user_id, user_ids)
            self.subscribe(connection, visible)
        for user_id in user_ids:
            if user_id not in visible:
                connection.send(self._event(user_id, _state(False, None)))
        # A change during the read is sent first, and is newer than what was read.
        with self._track_changes(visible) as changed:
            states = await self.states([user_id for user_id in user_ids if user_id in visible])
        for user_id, state in states.items():
            if user_id not in changed:
                connection.send(self._event(user_id, state))

    def _on_gap(self) -> None:
        # Messages of processes of the version before, which publish to all.
        self._known.clear()
        self._resync_soon(self._subscribers)

    def _resync_soon(self, user_ids: Iterable[str]) -> None:
        self._doubtful.update(user_ids)
        self._resync_needed.set()

    async def _resync(self) -> None:
        """Send the current states of users to their subscribers after messages of the bus may have been lost.

        Raises Unavailable, and one of REDIS_ERRORS; it is then repeated.
        """
        await self._resync_needed.wait()
        # After an interruption they are many, and read together.
        await asyncio.sleep(RESYNC_DELAY)
        self._resync_needed.clear()
        doubtful, self._doubtful = self._doubtful, set()
        user_ids = list(doubtful & self._subscribers.keys())
        try:
            # What changed their visibility may be lost, too.
            self._to_check = dict.fromkeys(user_ids, False) | self._to_check
            self._check_needed.set()
            for start in range(0, len(user_ids), MAX_BATCH):
                batch = user_ids[start : start + MAX_BATCH]
                with self._track_changes(batch) as changed:
                    states = await self._states(batch, await self._read(batch))
                for user_id in states.keys() - changed:
                    self._push(user_id, states[user_id])
        except BaseException:
            self._resync_soon(doubtful)
            raise

    async def _read(self, user_ids: Collection[str]) -> set[str]:
        """Return those of the users who are online, and note what is known of them now. Raises one of REDIS_ERRORS."""
        online, number = await self._store.read(user_ids)
        for user_id in user_ids:
            self._note(user_id, number, user_id in online)
        return online

    def _note(self, user_id: str, number: int, online: bool) -> bool:
        """Note a state of a user and the number of the change that led to it, or of a later one. Return False if it is
        older than what is known, and not the same."""
        last, known = self._known.get(user_id, (0, online))
        if number < last:
            return online == known
        if number and user_id in self._subscribers:
            self._known[user_id] = number, online
        return True

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
        self._set_watched(connection, frozenset())
        del self._subscriptions[connection]
        own = self._by_viewer[connection.user_id]
        own.discard(connection)
        if not own:
            del self._by_viewer[connection.user_id]

    def _set_watched(self, connection: Connection, user_ids: frozenset[str]) -> None:
        former = self._subscriptions.get(connection, frozenset())
        self._subscriptions[connection] = user_ids
        self._by_viewer.setdefault(connection.user_id, set()).add(connection)
        for user_id in user_ids - former:
            self._subscribers.setdefault(user_id, set()).add(connection)
            self._addresses.follow(user_id)
        for user_id in former - user_ids:
            subscribers = self._subscribers[user_id]
            subscribers.discard(connection)
            if not subscribers:
                del self._subscribers[user_id]
                self._known.pop(user_id, None)
            self._addresses.unfollow(user_id)

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        states = {user_id: _state(True, None) for user_id in head["joined"]}
        states |= {user_id: _state(False, head["at"]) for user_id in head["left"]}
        if number := head.get("number", 0):
            # Two processes publish in any order; those of the version before do not number what they publish.
            states = {user: state for user, state in states.items() if self._note(user, number, state["online"])}
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
