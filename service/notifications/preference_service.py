"""Preferences: reading and changing them, and looking up those of many users."""

from collections.abc import Collection

from service.notifications.models import CHANNEL
from service.notifications.preference_store import PreferenceStore, StoredPreferences
from service.notifications.preferences import Preferences, PreferencesChange
from service.realtime.bus import Bus
from service.realtime.bus_cache import BusCache
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event, Policy

MAX_USERS = 20_000
"""Users whose preferences a process remembers. Most have the defaults, which they share; 20,000 who have chosen their
own are some 30 MB."""


class PreferenceService:
    """Methods raise Unavailable.

    All processes hear of each change, and changes are rare, so a process remembers what it has read; see BusCache.
    """

    def __init__(self, store: PreferenceStore, bus: Bus, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._cache: BusCache[str, StoredPreferences] = BusCache(
            bus, "notification_preferences", store.of_users, max_entries=MAX_USERS
        )

    async def preferences(self, user_id: str) -> Preferences:
        """Return the user's preferences as they are stored."""
        return (await self._store.of_users([user_id]))[user_id].preferences

    async def of_users(self, user_ids: Collection[str]) -> dict[str, Preferences]:
        """Return the preferences of each of these users; those of users who have none are the defaults.

        A change by another process is reflected once the bus has brought word of it, a few milliseconds later.
        """
        found = await self._cache.get(user_ids)
        return {user_id: each.preferences for user_id, each in found.items()}

    async def change(self, user_id: str, change: PreferencesChange) -> Preferences:
        """Store the fields that are set in `change`, and return the preferences.

        The user's connections get `preferences_updated`, and every process the new version. If the event is lost, a
        repeated request makes up for it, or the preferences when they are loaded next.
        """
        if not change.model_fields_set:
            return await self.preferences(user_id)
        preferences, version = await self._store.change(user_id, change)
        self._cache.changed([user_id])
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
