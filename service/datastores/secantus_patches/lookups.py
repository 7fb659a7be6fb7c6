"""The documents that a query may match."""

from typing import Any

from secantus import storage
from secantus.storage import Storage

_record_ids = Storage._try_index_id_keys


def record_ids(
    self: Any, database: str, collection: str, query: dict[str, Any], *, collation: Any = None
) -> list[int] | None:
    """Return the record ids of the documents that `query` may match, in place of `Storage._try_index_id_keys`; None for
    all.

    If it names ids, those. SecantusDB prefers any other index: `{_id, participants}` read all chats of a participant.
    """
    if query and "_id" in query and collation is None and not self._is_timeseries(database, collection):
        keys = storage._id_point_lookup_keys(query["_id"])
        if keys is not None:
            found = [self._doc_recordid(database, collection, key) for key in keys]
            return [record_id for record_id in found if record_id is not None]
    ids: list[int] | None = _record_ids(self, database, collection, query, collation=collation)
    return ids
