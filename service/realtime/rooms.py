"""Rooms: topics with so many recipients that an event goes to one address for all of them."""

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable

from service.realtime.addresses import room_address
from service.realtime.bus import Bus

PROMPT_CONFIRMATION = 2.0
"""Seconds within which the address of a room is usually confirmed. What was published in longer times may not be
remembered by Redis."""


MAX_MEMBERS = 200_000
"""Members of all rooms together whose ids are remembered. The rooms without an event for the longest time are forgotten
first; the members are read with their next event."""


class Rooms:
    """Subscribes to the addresses of those rooms that users of this process are in, and knows who is in them.

    The members of a room are those of a version of its membership. An event names the version of its recipients, and is
    for nobody if that is not the one that is known here: the members are then read.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: dict[str, set[str]] = {}
        self._topics: dict[str, tuple[str, ...]] = {}
        """The rooms of each user. Most are in few, and a tuple is the smallest collection."""
        self._requested: dict[str, float] = {}
        """When the addresses that were never confirmed were subscribed to, by the monotonic clock."""
        self._members: OrderedDict[str, tuple[int, frozenset[str]]] = OrderedDict()
        """The version and the members of each room."""
        self._member_count = 0

    def remember(self, topic: str, version: int, members: Collection[str]) -> None:
        """Note who the members of a room are in a version of its membership."""
        if self._version_of(topic) == version:
            return
        self._forget(topic)
        self._members[topic] = version, frozenset(members)
        self._member_count += len(members)
        while self._member_count > MAX_MEMBERS and len(self._members) > 1:
            self._forget(next(iter(self._members)))

    def members(self, topic: str, version: int) -> frozenset[str] | None:
        """Return the members of a room in this version; None if it is not the one that is known."""
        if self._version_of(topic) != version:
            return None
        self._members.move_to_end(topic)
        return self._members[topic][1]

    def users(self, topic: str) -> Collection[str]:
        """Return the users of this process who are in the room, or were lately."""
        return self._users.get(topic, ())

    def join(self, topic: str, user_ids: Iterable[str]) -> None:
        """Note that these users, who have connections here, are in the room of `topic`."""
        for user_id in user_ids:
            own = self._topics.get(user_id, ())
            if topic not in own:
                self._topics[user_id] = (*own, topic)
            if topic in self._users:
                self._users[topic].add(user_id)
            else:
                self._users[topic] = {user_id}
                self._requested[topic] = time.monotonic()
                self._bus.subscribe(room_address(topic))

    def leave_all(self, user_id: str) -> None:
        """Note that the user has no connection here any more."""
        for topic in self._topics.pop(user_id, ()):
            users = self._users[topic]
            users.discard(user_id)
            if not users:
                del self._users[topic]
                self._requested.pop(topic, None)
                self._bus.unsubscribe(room_address(topic))

    def _version_of(self, topic: str) -> int | None:
        known = self._members.get(topic)
        return known[0] if known else None

    def _forget(self, topic: str) -> None:
        if known := self._members.pop(topic, None):
            self._member_count -= len(known[1])

    def is_late(self, topic: str) -> bool:
        """Return whether the room's address, which is confirmed now, was subscribed to long ago."""
        return time.monotonic() - self._requested.pop(topic, time.monotonic()) > PROMPT_CONFIRMATION
