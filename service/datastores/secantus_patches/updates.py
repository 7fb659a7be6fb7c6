"""The indexes that an update affects."""

import threading
from datetime import datetime
from types import NoneType
from typing import Any

import bson
from secantus import storage
from secantus.storage import Storage

SIMPLE_TYPES = (str, int, bytes, bool, NoneType, datetime, bson.ObjectId)
"""Of two values of one of these types, `==` tells whether they are stored alike."""

_document_changed = storage._doc_changed


class Update(threading.local):
    """The update of a document that the thread has begun, so that it changes only the indexes that the update affects.

    SecantusDB removes the document from all indexes, and adds it to all of them again.
    """

    def __init__(self) -> None:
        self._documents: tuple[dict[str, Any], ...] = ()
        self._changed: set[str] = set()
        self._affected: tuple[list[Any], list[Any]] | None = None
        """Indexes, and those of them that the update affects."""

    def begin(self, new: dict[str, Any], old: dict[str, Any]) -> bool:
        """Return whether `new` differs from `old`, as `storage._doc_changed` does."""
        self._documents, self._affected = (), None
        if not _document_changed(new, old):
            return False
        self._changed = {field for field in new.keys() | old.keys() if _differs(new, old, field)}
        self._documents = (new, old)
        return True

    def affected(self, document: dict[str, Any], indexes: list[Any], partial_filters: Any) -> list[Any]:
        """Return those of `indexes` from which this version of `document` may be missing or have to be removed."""
        if partial_filters is None or not any(document is version for version in self._documents):
            return indexes
        if self._affected is None or self._affected[0] is not indexes:
            affected = [
                index
                for index in indexes
                if self._affects(index[1]) or self._affects(partial_filters.get(index[0], {}))
            ]
            self._affected = indexes, affected
        return self._affected[1]

    def _affects(self, fields: dict[str, Any]) -> bool:
        """Return whether one of the fields of a key or a filter has been changed. Operators may contain any field."""
        return any(field[0] == "$" or field.partition(".")[0] in self._changed for field in fields)


def _differs(new: dict[str, Any], old: dict[str, Any], field: str) -> bool:
    if field not in new or field not in old:
        return True
    a, b = new[field], old[field]
    if type(a) is type(b) and type(a) in SIMPLE_TYPES:
        return bool(a != b)
    # In Python, 1 equals True and 1.0.
    return bson.encode({"": a}) != bson.encode({"": b})


update = Update()


_delete_index_entries = Storage._delete_index_entries


def delete_index_entries(
    self: Any,
    database: str,
    collection: str,
    document: dict[str, Any],
    indexes: list[Any],
    partials: Any = None,
    **options: Any,
) -> None:
    """Delete the entries of a document, as `Storage._delete_index_entries` does, where the update affects them."""
    affected = update.affected(document, indexes, partials)
    _delete_index_entries(self, database, collection, document, affected, partials=partials, **options)
