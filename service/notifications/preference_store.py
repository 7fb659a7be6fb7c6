"""The store of preferences: one document for each user who has changed them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bson import ObjectId

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable
from service.notifications.preferences import DEFAULTS, KindPreference, Preferences, PreferencesChange


class StoredPreferences(NamedTuple):
    """`version` counts the changes; 0: the user has made none."""

    preferences: Preferences = DEFAULTS
    version: int = 0


class PreferenceStore:
    """`notification_preferences`: `{_id: user_id, version, kinds, push, quiet_hours}`, each of the last three once it
    has been set. Methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._preferences = database["notification_preferences"]

    async def create_indexes(self) -> None:
        """None are needed: preferences are only found by `_id`."""

    async def of_users(self, user_ids: Iterable[str]) -> dict[str, StoredPreferences]:
        """Return the preferences of each of these users."""
        wanted = list(user_ids)
        documents = await find_by_ids(self._preferences, map(ObjectId, wanted))
        found = {str(document["_id"]): _stored(document) for document in documents}
        return {user_id: found.get(user_id, StoredPreferences()) for user_id in wanted}

    async def change(self, user_id: str, change: PreferencesChange) -> StoredPreferences:
        """Store the fields that are set in `change`. Returns the preferences, with further changes if others made some
        at the same time."""
        fields: Document = change.model_dump(exclude_unset=True)
        async with unavailable():
            await self._preferences.update_one(
                {"_id": ObjectId(user_id)}, {"$set": fields, "$inc": {"version": 1}}, upsert=True
            )
        return (await self.of_users([user_id]))[user_id]

    async def delete(self, user_id: str) -> None:
        """Delete the user's preferences."""
        async with unavailable():
            await self._preferences.delete_one({"_id": ObjectId(user_id)})


def _stored(document: Mapping[str, Any]) -> StoredPreferences:
    own = {type: KindPreference(**each) for type, each in document.get("kinds", {}).items()}
    preferences = Preferences(
        kinds=DEFAULTS.kinds | own,
        push=document.get("push", DEFAULTS.push),
        quiet_hours=document.get("quiet_hours"),
    )
    return StoredPreferences(preferences, document["version"])
