"""How far a user has read: one small document, so that marking and counting cost the same however many there are."""

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
"""Notifications marked one by one above the oldest unread one: 160 KB of document. See `InboxStore.mark`."""


class Inbox(NamedTuple):
    """Read are all up to `read_up_to`, and above it those in `read_above`; `last_seq` is the last there is.

    Neither `last_seq` nor the number of those read ever falls, so of two states told out of order the one of the higher
    `rank` is the later.
    """

    last_seq: int = 0
    read_up_to: int = 0
    read_above: frozenset[int] = frozenset()

    @property
    def unread(self) -> int:
        return self.last_seq - self.read_up_to - len(self.read_above)

    @property
    def rank(self) -> int:
        """How many there are and how many of them are read, of which neither ever falls."""
        return self.last_seq + self.last_seq - self.unread

    def has_read(self, seq: int) -> bool:
        return seq <= self.read_up_to or seq in self.read_above

    def with_last_seq(self, seq: int) -> "Inbox":
        """The same where `seq` is known to exist."""
        return self._replace(last_seq=max(self.last_seq, seq))

    def newest_unread(self, before: int, limit: int) -> list[int]:
        """The `limit` latest unread numbers below `before`, latest first; walks over at most `MAX_ABOVE` others."""
        below = range(min(before - 1, self.last_seq), self.read_up_to, -1)
        return list(islice((seq for seq in below if seq not in self.read_above), limit))


class InboxStore:
    """`inboxes`: `{_id: user_id, last_seq, read_up_to, read_above}`.

    `last_seq` is a hint that is raised once a notification has been told; the notifications have the last word.
    Every change only ever raises a number or adds to a set, so changes may come twice and in any order.
    """

    def __init__(self, database: Database) -> None:
        self._inboxes = database["inboxes"]

    async def create_indexes(self) -> None:
        """The inboxes are only ever found by their user."""

    async def inbox(self, user_id: str) -> Inbox:
        """Raises Unavailable."""
        return (await self.inboxes([user_id]))[user_id]

    async def inboxes(self, user_ids: Iterable[str]) -> dict[str, Inbox]:
        """The inbox of each; of one who has none yet, an empty one. Raises Unavailable."""
        wanted = list(user_ids)
        documents = await find_by_ids(self._inboxes, map(ObjectId, wanted))
        found = {str(document["_id"]): _inbox(document) for document in documents}
        return {user_id: found.get(user_id, Inbox()) for user_id in wanted}

    async def hints(self, users: Collection[ObjectId]) -> dict[ObjectId, int]:
        """For SequencedLog: a number that each user's notifications have reached."""
        inboxes = await self.inboxes([str(user) for user in users])
        return {ObjectId(user_id): inbox.last_seq for user_id, inbox in inboxes.items()}

    async def raise_last(self, reached: Mapping[ObjectId, int]) -> None:
        """These numbers exist now. Raises Unavailable."""
        await update_all(
            self._inboxes,
            [UpdateOne({"_id": user}, {"$max": {"last_seq": seq}}, upsert=True) for user, seq in reached.items()],
        )

    async def mark(self, user_id: str, seq: int) -> Inbox:
        """Count the existing notification `seq` as read. Raises Unavailable.

        Replay MAX_ABOVE marks above an unread one, the oldest unread ones, up to the first mark, are counted as read
        too: who reads ten thousand and leaves one lying has left it for good.
        """
        change = {"$addToSet": {"read_above": seq}, "$max": {"last_seq": seq}}
        # Where it is read already the condition fails, and the insert that is tried instead meets the same `_id`.
        with suppress(DuplicateKeyError):
            await self._change({"_id": ObjectId(user_id), "read_up_to": {"$not": {"$gte": seq}}}, change)
        return await self._compacted(user_id)

    async def mark_up_to(self, user_id: str, seq: int) -> Inbox:
        """Count all up to the existing notification `seq` as read. Raises Unavailable."""
        change = {"$max": {"read_up_to": seq, "last_seq": seq}, "$pull": {"read_above": {"$lte": seq}}}
        await self._change({"_id": ObjectId(user_id)}, change)
        return await self._compacted(user_id)

    async def delete(self, user_id: str) -> None:
        """Raises Unavailable."""
        async with unavailable():
            await self._inboxes.delete_one({"_id": ObjectId(user_id)})

    async def _compacted(self, user_id: str) -> Inbox:
        inbox = await self.inbox(user_id)
        end = _end_of_run(inbox)
        return inbox if end == inbox.read_up_to else await self.mark_up_to(user_id, end)

    async def _change(self, where: Document, change: Document) -> None:
        # Not find_one_and_update: the embedded database reads the whole collection for it.
        async with unavailable():
            await self._inboxes.update_one(where, change, upsert=True)


def _inbox(document: Mapping[str, Any]) -> Inbox:
    read_up_to, read_above = document.get("read_up_to", 0), frozenset(document.get("read_above", ()))
    return Inbox(max(document.get("last_seq", 0), read_up_to, *read_above), read_up_to, read_above)


def _end_of_run(inbox: Inbox) -> int:
    """How far all is read without a gap, once the oldest gaps are given up of a set that is too large."""
    end = inbox.read_up_to
    if len(inbox.read_above) > MAX_ABOVE:
        end = min(inbox.read_above)
    while end + 1 in inbox.read_above:
        end += 1
    return end
