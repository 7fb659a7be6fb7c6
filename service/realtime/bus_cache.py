"""What a process has read from the database, kept until the bus says that it has changed."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from service.realtime.bus import Bus

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_AGE = 20.0
"""Seconds for which a value is used after it was read: a process may be killed after it has stored a change, and before
it has said so. A deletion of a post or comment looks again after a minute, at what was stored meanwhile."""
MAX_ENTRIES = 10_000
MAX_CHANGES = 10_000
"""Changes within MAX_AGE that are remembered. If there are more, everything is read again."""


class _Entry(NamedTuple, Generic[Value]):
    """`since`: when the read began."""

    value: Value
    since: float


class BusCache(Generic[Key, Value]):
    """Keeps values by key. The service that stores a change calls `changed`, and all processes forget the value.

    A change by another process is reflected once the bus has brought word of it, a few milliseconds later. While the
    bus is not connected, `get` reads each value from the database.
    """

    def __init__(
        self,
        bus: Bus,
        kind: str,
        read: Callable[[Collection[Key]], Awaitable[Mapping[Key, Value]]],
        *,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kind`: that of the bus's messages. `read(keys)` returns the values that exist; others are not kept, so they
        are looked for each time. `clock` returns seconds."""
        self._bus = bus
        self._kind = kind
        self._read = read
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        """By the time when they were read, the oldest first."""
        self._changed_at: OrderedDict[str, float] = OrderedDict()
        """By the name of the key, the oldest first: a read that began before then may have found the earlier value."""
        self._usable_since = clock()
        """What was read before is not used."""
        bus.on(kind, self._on_changed)
        bus.on_gap(self._forget)

    def known(self, keys: Iterable[Key]) -> dict[Key, Value] | None:
        """Return the values of these keys, or None if one of them has to be read."""
        found: dict[Key, Value] = {}
        for key in keys:
            entry = self._entry(key)
            if entry is None:
                return None
            found[key] = entry.value
        return found

    async def get(self, keys: Collection[Key]) -> dict[Key, Value]:
        """Return the values of those of these keys that have one. Raises what `read` raises."""
        found = {key: entry.value for key in keys if (entry := self._entry(key))}
        if missing := [key for key in keys if key not in found]:
            since = self._clock()
            read = await self._read(missing)
            for key, value in read.items():
                self._keep(key, _Entry(value, since))
            found |= read
        return found

    def changed(self, keys: Collection[Key]) -> None:
        """Let every process read these values again. To be called after a change has been stored. Never raises."""
        if keys:
            self._bus.publish(self._kind, {"keys": [_name(key) for key in keys]})

    def _entry(self, key: Key) -> _Entry[Value] | None:
        entry = self._entries.get(key)
        return entry if entry and self._bus.connected and self._is_current(key, entry.since) else None

    def _is_current(self, key: Key, since: float) -> bool:
        if since <= self._usable_since or self._clock() - since > MAX_AGE:
            return False
        return since > self._changed_at.get(_name(key), 0.0)

    def _keep(self, key: Key, entry: _Entry[Value]) -> None:
        self._entries.pop(key, None)
        self._entries[key] = entry
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def _on_changed(self, head: dict[str, Any], _: bytes) -> None:
        now = self._clock()
        for name in head["keys"]:
            self._changed_at[name] = now
            self._changed_at.move_to_end(name)
        while self._changed_at and now - next(iter(self._changed_at.values())) > MAX_AGE:
            self._changed_at.popitem(last=False)
        if len(self._changed_at) > MAX_CHANGES:
            self._forget()

    def _forget(self) -> None:
        self._usable_since = self._clock()
        self._entries.clear()
        self._changed_at.clear()


def _name(key: Hashable) -> str:
    """Return the name of a key in messages."""
    return ":".join(map(str, key)) if isinstance(key, tuple) else str(key)
