"""The cursor of a search in all conversations: how far it has come."""

import binascii
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from bson import ObjectId
from pydantic import StringConstraints

from service.common import base64url
from service.common.cursor import EPOCH, MAX_MILLISECONDS
from service.common.errors import ValidationFailed

MAX_LIMIT = 50
HEAD = struct.Struct(">BQ12sQ12s12sQQ")
HIT = struct.Struct(">12sQ")
MAX_LENGTH = 4 * (HEAD.size + MAX_LIMIT * HIT.size) // 3 + 4
MAX_SEQ = 2**53

Cursor = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
Place = tuple[datetime, ObjectId]
"""A place in the order of messages by time and id, or in that of conversations by activity and id."""
START: Place = (EPOCH, ObjectId(bytes(12)))
"""Stands for no place: nothing is so old."""

Hit = tuple[ObjectId, int]
"""A message by its conversation and its seq."""
NOWHERE: Hit = (ObjectId(bytes(12)), 0)


class SearchPosition(NamedTuple):
    """Where the next page continues.

    `before`: only messages before this one are looked for; START: all. `place`: the conversations before this one have
    been searched for them; START: none. `wanted`: how many messages are still wanted of these. `pending`: the messages
    that have been found and may not be the next ones, by conversation and seq. `inside`: a conversation that has been
    searched down to this seq; it is the next one. `since`: when the last page was read.
    """

    before: Place
    place: Place
    wanted: int
    pending: Sequence[Hit] = ()
    inside: Hit = NOWHERE
    since: datetime = EPOCH

    def encode(self) -> str:
        inside, below = self.inside
        head = HEAD.pack(
            self.wanted,
            *_packed(self.before),
            *_packed(self.place),
            inside.binary,
            below,
            _milliseconds(self.since),
        )
        hits = b"".join(HIT.pack(conversation_id.binary, seq) for conversation_id, seq in self.pending)
        return base64url.encode(head + hits)

    @classmethod
    def parse(cls, cursor: str) -> "SearchPosition":
        """Raises ValidationFailed (`before`) if it is no cursor of a search in all conversations."""
        try:
            data = base64url.decode(cursor)
            wanted, before, before_id, place, place_id, inside, below, since = HEAD.unpack_from(data)
            pending = [(ObjectId(each), seq) for each, seq in HIT.iter_unpack(data[HEAD.size :])]
            if max(before, place, since) > MAX_MILLISECONDS or not 1 <= wanted <= MAX_LIMIT or len(pending) > MAX_LIMIT:
                raise ValueError("out of range")
            if max(below, *(seq for _, seq in pending), 0) > MAX_SEQ:
                raise ValueError("out of range")
            found = cls(
                _place(before, before_id),
                _place(place, place_id),
                wanted,
                pending,
                (ObjectId(inside), below),
                _moment(since),
            )
            if found.encode() != cursor:
                raise ValueError("not canonical")
        except (ValueError, struct.error, binascii.Error):
            raise ValidationFailed.of("before", "This is not a cursor of this search.") from None
        return found


def _packed(place: Place) -> tuple[int, bytes]:
    return _milliseconds(place[0]), place[1].binary


def _place(milliseconds: int, id: bytes) -> Place:
    return _moment(milliseconds), ObjectId(id)


def _milliseconds(moment: datetime) -> int:
    return round((moment - EPOCH).total_seconds() * 1000)


def _moment(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)
