"""The preferences that a process has read lately."""

from collections import OrderedDict

from service.notifications.preference_store import StoredPreferences

MAX_USERS = 20_000
"""Most users have the defaults, which they share; 20,000 who have chosen their own are some 30 MB."""


class PreferenceCache:
    """Keeps preferences by user id, those used last. Of two versions the higher one stays, however late the lower one
    was read."""

    def __init__(self, max_users: int = MAX_USERS) -> None:
        self._max_users = max_users
        self._entries: OrderedDict[str, StoredPreferences | int] = OrderedDict()
        """The version alone if it is known to exist, but has not been read."""
        self.clearings = 0
        """How often everything was forgotten: what was read before may be older than a version that was missed."""

    def get(self, user_id: str) -> StoredPreferences | None:
        """Return the user's preferences, or None if they have to be read."""
        entry = self._entries.get(user_id)
        if isinstance(entry, int) or entry is None:
            return None
        self._entries.move_to_end(user_id)
        return entry

    def put(self, user_id: str, stored: StoredPreferences, clearings: int) -> None:
        """Keep what has been read, unless everything was forgotten since. `clearings`: those when the read began."""
        if clearings == self.clearings and stored.version >= self._version(user_id):
            self._set(user_id, stored)

    def expire(self, user_id: str, version: int) -> None:
        """Note that `version` is stored: what was read before counts no longer."""
        if version > self._version(user_id):
            self._set(user_id, version)

    def clear(self) -> None:
        """Forget everything."""
        self.clearings += 1
        self._entries.clear()

    def _version(self, user_id: str) -> int:
        entry = self._entries.get(user_id, 0)
        return entry if isinstance(entry, int) else entry.version

    def _set(self, user_id: str, entry: StoredPreferences | int) -> None:
        self._entries[user_id] = entry
        self._entries.move_to_end(user_id)
        if len(self._entries) > self._max_users:
            self._entries.popitem(last=False)
