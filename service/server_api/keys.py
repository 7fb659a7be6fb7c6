"""The keys of a site's servers."""

import hashlib
import hmac
from collections.abc import Iterable

from config.settings import ApiKey
from service.common.errors import KeyInvalid


class ApiKeys:
    """Finds the name of a key. Only hashes are kept and compared, so how long that takes tells nothing about a key."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._names = [(each.name, _hash(each.key)) for each in keys]

    def name_of(self, key: str | None) -> str:
        """Return the name of `key`. Raises KeyInvalid."""
        given, found = _hash(key or ""), None
        # All of them, also after one has matched.
        for name, expected in self._names:
            if hmac.compare_digest(given, expected):
                found = name
        if found is None:
            raise KeyInvalid
        return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
