"""Cursors of lists: opaque to clients, bounded in length, and independent of the row that they point to.

A cursor holds the whole sort key of the last row of a page, which ends with something unique. So the next page begins
behind that place even if several rows share the rest of the key, and even if the row itself has been deleted since.
"""

import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import ujson
from bson import ObjectId
from bson.errors import InvalidId
from pydantic import StringConstraints

from service.common import base64url
from service.common.encoding import dumps
from service.common.errors import ValidationFailed

MAX_LENGTH = 1000
"""Characters of a cursor. The longest sort key is a name and an id."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MILLISECONDS = 253_402_300_799_999
"""The end of the year 9999, the last that `datetime` has."""
MAX_NUMBER = 2**63 - 1

Cursor = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
"""A cursor in a query string, to be parsed by a CursorFormat."""


class CursorFormat:
    """The cursors of one list. A cursor of another list is refused."""

    def __init__(self, name: str, *types: type) -> None:
        """`types` of the values of the list's sort key: datetime (to the millisecond), ObjectId, int or str."""
        self._name = name
        self._types = types

    def encode(self, key: Sequence[Any]) -> str:
        """Return the cursor that points behind the row with this sort key."""
        values = [_to_json(value) for value in key]
        return base64url.encode(dumps([self._name, *values]).encode())

    def parse(self, cursor: str, field: str = "before") -> tuple[Any, ...]:
        """Return the sort key in `cursor`. Raises ValidationFailed (`field`) if it is no cursor of this list."""
        try:
            if len(cursor) > MAX_LENGTH:
                raise ValueError("too long")
            name, *values = ujson.loads(base64url.decode(cursor))
            key = tuple(_from_json(value, kind) for value, kind in zip(values, self._types, strict=True))
            # There is one way to write a cursor: no other text passes for it.
            if name != self._name or self.encode(key) != cursor:
                raise ValueError("not canonical")
        except (ValueError, TypeError, OverflowError, InvalidId, binascii.Error):
            raise ValidationFailed.of(field, "This is not a cursor of this list.") from None
        return key


def _to_json(value: Any) -> int | str:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(milliseconds=1)
    return str(value) if isinstance(value, ObjectId) else value


def _from_json(value: Any, kind: type) -> Any:
    if kind is datetime:
        if type(value) is not int or not 0 <= value <= MAX_MILLISECONDS:
            raise ValueError("not a time")
        return EPOCH + timedelta(milliseconds=value)
    if kind is ObjectId:
        return ObjectId(value)
    if type(value) is not kind or (isinstance(value, int) and not 0 <= value <= MAX_NUMBER):
        raise ValueError("of another type")
    return value
