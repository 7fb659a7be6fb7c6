"""The order of documents."""

from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

from bson import ObjectId
from secantus import ordering

COMPARABLE = (datetime, ObjectId, int, str)
"""Values of one of these types are in the order of MongoDB if Python compares them."""


def sort_documents(
    documents: list[dict[str, Any]], order: Mapping[str, Any] | None, collation: Any = None
) -> list[dict[str, Any]]:
    """Return sorted documents, in place of `ordering.sort_docs`, which compares each pair in Python by the rules for
    values of any types."""
    if not order or collation is not None or not all(_is_comparable(documents, field) for field in order):
        found: list[dict[str, Any]] = ordering.sort_docs(documents, order, collation)
        return found
    for field, direction in reversed(list(order.items())):
        documents = sorted(documents, key=itemgetter(field), reverse=int(direction) == -1)
    return documents


def _is_comparable(documents: list[dict[str, Any]], field: str) -> bool:
    kinds = {type(document.get(field)) for document in documents}
    return "." not in field and len(kinds) == 1 and kinds.pop() in COMPARABLE
