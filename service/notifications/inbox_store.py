"""The read state of each user: one small document, so the cost of marking and counting does not grow."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all

MAX_ABOVE = 10_000
"""Limit of individually marked notifications above the oldest unread one: 160 KB of document. See
`InboxStore.mark_read`."""


class Inbox(NamedTuple):
    """The read state: all notifications up to `read_up_to` are read, and above it those in `read_above`.

    `last_seq` is the number of the last notification. Neither it nor the number of read ones ever decreases, so of two
    states that arrive out of order the one with the higher `version` is the newer.
    """

    last_seq: int = 0
    read_up_to: int = 0
    read_above: frozenset[int] = frozenset()

    @property
    def unread(self) -> int:
        return self.last_seq - self.read_up_to - len(self.read_above)

    @property
    def version(self) -> int:
        """The sum of `last_seq` and the number of read notifications, neither of which ever decreases."""
        return self.last_seq + self.last_seq - self.unread

    def has_read(self, seq: int) -> bool:
        return seq <= self.read_up_to or seq in self.read_above

    def with_last_seq(self, seq: int) -> "Inbox":
        """Return a copy whose `last_seq` is at least `seq`."""
        return self._replace(last_seq=max(self.last_seq, seq))

    def newest_unread(self, before: int, limit: int) -> list[int]:
        """Return the `limit` latest unread numbers below `before`, descending. Skips at most `MAX_ABOVE` read ones."""
        below = range(min(before - 1, self.last_seq), self.read_up_to, -1)
        return list(islice((seq for seq in below if seq not in self.read_above), limit))


class InboxStore:
    """`inboxes`: `{_id: user_id, last_seq, read_up_to, read_above}`.

    The stored `last_seq` is a lower bound, raised after notifications were published; the notifications themselves are
    authoritative. Every update raises a number or adds to a set, so updates can be repeated and reordered.
    """

    def __init__(self, database: Database) -> None:
        self._inboxes = database["inboxes"]

    async def create_indexes(self) -> None:
        """None are needed: inboxes are only found by `_id`."""

    async def inbox(self, user_id: str) -> Inbox:
        """Return the user's inbox. Raises Unavailable."""
        return (await self.inboxes([user_id]))[user_id]

    async def inboxes(self, user_ids: Iterable[str]) -> dict[str, Inbox]:
        """Return the inbox of each user, an empty one if it is not stored yet. Raises Unavailable."""
        wanted = list(user_ids)
        documents = await find_by_ids(self._inboxes, map(ObjectId, wanted))
        found = {str(document["_id"]): _inbox(document) for document in documents}
        return {user_id: found.get(user_id, Inbox()) for user_id in wanted}

    async def hints(self, users: Collection[ObjectId]) -> dict[ObjectId, int]:
        """Return a lower bound of each user's last number: the hints of SequencedLog. Raises Unavailable."""
        inboxes = await self.inboxes([str(user) for user in users])
        return {ObjectId(user_id): inbox.last_seq for user_id, inbox in inboxes.items()}

    async def raise_last_seqs(self, last_seqs: Mapping[ObjectId, int]) -> None:
        """Raise each user's stored `last_seq` to at least the given number. Raises Unavailable."""
        await update_all(
            self._inboxes,
            [UpdateOne({"_id": user}, {"$max": {"last_seq": seq}}, upsert=True) for user, seq in last_seqs.items()],
        )

    async def mark_read(self, user_id: str, seq: int) -> Inbox:
        """Mark the notification `seq`, which must exist, as read. Raises Unavailable.

        Beyond MAX_ABOVE individual marks, the unread notifications below the lowest mark count as read too: after ten
        thousand later ones, the user is not going to read them.
        """
        change = {"$addToSet": {"read_above": seq}, "$max": {"last_seq": seq}}
        # If it is already read the filter does not match, and the upsert tries to insert an existing `_id`.
        with suppress(DuplicateKeyError):
            await self._upsert({"_id": ObjectId(user_id), "read_up_to": {"$not": {"$gte": seq}}}, change)
        return await self._compact(user_id)

    async def mark_read_up_to(self, user_id: str, seq: int) -> Inbox:
        """Mark all notifications up to `seq`, which must exist, as read. Raises Unavailable."""
        change = {"$max": {"read_up_to": seq, "last_seq": seq}, "$pull": {"read_above": {"$lte": seq}}}
        await self._upsert({"_id": ObjectId(user_id)}, change)
        return await self._compact(user_id)

    async def delete(self, user_id: str) -> None:
        """Delete the user's inbox. Raises Unavailable."""
        async with unavailable():
            await self._inboxes.delete_one({"_id": ObjectId(user_id)})

    async def _compact(self, user_id: str) -> Inbox:
        """Return the inbox, after raising `read_up_to` over the individual marks that follow it."""
        inbox = await self.inbox(user_id)
        end = _compacted_read_up_to(inbox)
        return inbox if end == inbox.read_up_to else await self.mark_read_up_to(user_id, end)

    async def _upsert(self, where: Document, change: Document) -> None:
        # Read separately, for the reason in `update_and_find`.
        async with unavailable():
            await self._inboxes.update_one(where, change, upsert=True)


def _inbox(document: Mapping[str, Any]) -> Inbox:
    read_up_to, read_above = document.get("read_up_to", 0), frozenset(document.get("read_above", ()))
    return Inbox(max(document.get("last_seq", 0), read_up_to, *read_above), read_up_to, read_above)


def _compacted_read_up_to(inbox: Inbox) -> int:
    """Return the highest number up to which all are read, ignoring the oldest gaps if there are too many marks."""
    end = inbox.read_up_to
    if len(inbox.read_above) > MAX_ABOVE:
        end = min(inbox.read_above)
    while end + 1 in inbox.read_above:
        end += 1
    return end
