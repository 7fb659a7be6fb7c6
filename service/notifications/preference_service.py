"""Preferences: reading and changing them, and looking up those of many users."""

from collections.abc import Collection, Mapping
from typing import Any

from service.notifications.models import CHANNEL
from service.notifications.preference_cache import PreferenceCache
from service.notifications.preference_store import PreferenceStore, StoredPreferences
from service.notifications.preferences import Preferences, PreferencesChange
from service.realtime.bus import Bus
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event, Policy

BUS_KIND = "preferences"


class PreferenceService:
    """Methods raise Unavailable.

    A process keeps the preferences that it has read until the bus says that they have changed: all processes hear of
    each change, and changes are rare. It reads all of them again after messages to it may have been lost, and reads the
    database each time while it hears nothing.
    """

    def __init__(self, store: PreferenceStore, bus: Bus, dispatcher: Dispatcher) -> None:
        self._store = store
        self._bus = bus
        self._dispatcher = dispatcher
        self._cache = PreferenceCache()
        bus.on(BUS_KIND, self._on_changed)
        bus.on_gap(self._cache.clear)

    async def preferences(self, user_id: str) -> Preferences:
        """Return the user's preferences as they are stored."""
        return (await self._store.of_users([user_id]))[user_id].preferences

    async def of_users(self, user_ids: Collection[str]) -> dict[str, Preferences]:
        """Return the preferences of each of these users; those of users who have none are the defaults.

        A change by another process is reflected once the bus has brought word of it, a few milliseconds later.
        """
        if not self._bus.connected:
            return _preferences(await self._store.of_users(user_ids))
        known = {user_id: stored for user_id in user_ids if (stored := self._cache.get(user_id))}
        if missing := set(user_ids) - known.keys():
            clearings = self._cache.clearings
            read = await self._store.of_users(missing)
            for user_id, stored in read.items():
                self._cache.put(user_id, stored, clearings)
            known |= read
        return _preferences(known)

    async def change(self, user_id: str, change: PreferencesChange) -> Preferences:
        """Store the fields that are set in `change`, and return the preferences.

        The user's connections get `preferences_updated`, and every process the new version. If the event is lost, a
        repeated request makes up for it, or the preferences when they are loaded next.
        """
        if not change.model_fields_set:
            return await self.preferences(user_id)
        preferences, version = await self._store.change(user_id, change)
        self._bus.publish(BUS_KIND, {"user_id": user_id, "version": version})
        key = f"preferences:{user_id}"
        self._dispatcher.publish(
            Event(
                "preferences_updated",
                preferences.model_dump(),
                channel=CHANNEL,
                policy=Policy.LATEST,
                key=key,
                version=version,
            ),
            [user_id],
        )
        return preferences

    def _on_changed(self, head: dict[str, Any], _: bytes) -> None:
        self._cache.expire(head["user_id"], head["version"])


def _preferences(stored: Mapping[str, StoredPreferences]) -> dict[str, Preferences]:
    return {user_id: each.preferences for user_id, each in stored.items()}
