"""Which documents exist, as a process has read it, kept until the bus says that it has changed."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Generic

from service.realtime.bus import Bus
from service.realtime.bus_cache import BusCache, Key


class ExistenceCache(Generic[Key]):
    """Keeps which keys exist; see BusCache."""

    def __init__(
        self, bus: Bus, kind: str, read: Callable[[Collection[Key]], Awaitable[set[Key]]], **options: Any
    ) -> None:
        """`read(keys)` returns those of the keys that exist."""

        async def exists(keys: Collection[Key]) -> dict[Key, bool]:
            found = await read(keys)
            return {key: key in found for key in keys}

        self._cache: BusCache[Key, bool] = BusCache(bus, kind, exists, **options)
        self.changed = self._cache.changed

    def known(self, keys: Iterable[Key]) -> set[Key] | None:
        """Return those of these keys that exist, or None if one of them has to be looked up."""
        known = self._cache.known(keys)
        return None if known is None else _existing(known)

    async def existing(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of these keys that exist. Raises what `read` raises."""
        return _existing(await self._cache.get(set(keys)))


def _existing(known: Mapping[Key, bool]) -> set[Key]:
    return {key for key, exists in known.items() if exists}
