"""The read state of each user: one small document, so the cost of marking and counting does not grow."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from service.common.errors import Unavailable
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.find_by_ids import IDS_PER_READ, find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.notifications.number_set import NumberSet

MAX_SPAN = 1_000_000
"""Numbers between the oldest unread notification and the newest one that was marked by itself: 125 KB of document. See
`Inbox.with_read`."""
MAX_ATTEMPTS = 100
"""Changes of one inbox by others, in a row, after which a mark gives up."""


class Inbox(NamedTuple):
    """The read state: all notifications up to `read_up_to` are read, and above it those in `read_above`.

    `last_seq` is the number of the last notification. Neither it nor the number of read ones ever decreases, so of two
    states that arrive out of order the one with the higher `version` is the newer. `grouped_up_to`: the notifications
    up to it are in the groups; None if none were grouped yet.
    """

    last_seq: int = 0
    read_up_to: int = 0
    read_above: NumberSet = NumberSet()
    grouped_up_to: int | None = None

    @property
    def unread(self) -> int:
        return self.last_seq - self.read_up_to - len(self.read_above)

    @property
    def version(self) -> int:
        """The sum of `last_seq` and the number of read notifications, neither of which ever decreases."""
        return self.last_seq + self.last_seq - self.unread

    def has_read(self, seq: int) -> bool:
        return seq <= self.read_up_to or seq in self.read_above

    def unread_of(self, seqs: NumberSet) -> NumberSet:
        """Return those of these numbers that are unread."""
        return seqs.above(self.read_up_to) - self.read_above

    def with_last_seq(self, seq: int) -> "Inbox":
        """Return a copy whose `last_seq` is at least `seq`."""
        return self._replace(last_seq=max(self.last_seq, seq))

    def with_read_up_to(self, seq: int) -> "Inbox":
        """Return a copy in which all notifications up to `seq`, which must exist, are read."""
        end = max(self.read_up_to, seq)
        end += self.read_above.run_from(end + 1)
        return self._replace(last_seq=max(self.last_seq, seq), read_up_to=end, read_above=self.read_above.above(end))

    def with_read(self, seqs: NumberSet) -> "Inbox":
        """Return a copy in which these notifications, which must exist, are read.

        If more than MAX_SPAN numbers lie between the oldest unread one and a read one, the oldest count as read, too:
        after a million later ones, the user is not going to read them.
        """
        above = self.read_above | seqs.above(self.read_up_to)
        inbox = self._replace(last_seq=max(self.last_seq, above.last), read_above=above)
        return inbox.with_read_up_to(max(self.read_up_to, above.last - MAX_SPAN))

    def newest_unread(self, before: int, limit: int) -> list[int]:
        """Return the `limit` latest unread numbers below `before`, descending."""
        top, above = min(before - 1, self.last_seq), self.read_above.last
        later = range(top, max(above, self.read_up_to), -1)
        earlier = NumberSet.span(self.read_up_to + 1, min(top, above)) - self.read_above
        return list(islice(chain(later, earlier), limit))


class InboxStore:
    """`inboxes`: `{_id: user_id, last_seq, read_up_to, read_from, read_bits, grouped_up_to, revision}`; `read_from` and
    `read_bits` are the numbers that are read above `read_up_to`. Processes of an earlier version list them as
    `read_above`, without a change of `revision`.

    The stored `last_seq` is a lower bound, raised now and then after notifications were published; the notifications
    themselves are authoritative. `revision` counts the marks: each is made in the state that it was computed from, else
    again.
    """

    def __init__(self, database: Database) -> None:
        self._inboxes = database["inboxes"]
        self._reads: Batcher[str, Inbox] = Batcher(self._read_each, max_batch=IDS_PER_READ, timeout=BATCH_TIMEOUT)

    async def create_indexes(self) -> None:
        """None are needed: inboxes are only found by `_id`."""

    async def inbox(self, user_id: str) -> Inbox:
        """Return the user's inbox, in one read with others that are asked for at the same time. Raises Unavailable."""
        return await self._reads.submit(user_id)

    async def _read_each(self, user_ids: Sequence[str]) -> list[Inbox]:
        found = await self.inboxes(set(user_ids))
        return [found[user_id] for user_id in user_ids]

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

    async def raise_grouped(self, user_id: str, seq: int) -> None:
        """Note that the notifications up to `seq` are in the groups. Raises Unavailable."""
        async with unavailable():
            await self._inboxes.update_one({"_id": ObjectId(user_id)}, {"$max": {"grouped_up_to": seq}}, upsert=True)

    async def mark_read(self, user_id: str, seqs: NumberSet) -> Inbox:
        """Mark the notifications with these numbers, which must exist, as read. Raises Unavailable."""
        return await self._change(user_id, lambda inbox: inbox.with_read(seqs))

    async def mark_read_up_to(self, user_id: str, seq: int) -> Inbox:
        """Mark all notifications up to `seq`, which must exist, as read. Raises Unavailable."""
        return await self._change(user_id, lambda inbox: inbox.with_read_up_to(seq))

    async def delete(self, user_id: str) -> None:
        """Delete the user's inbox. Raises Unavailable."""
        async with unavailable():
            await self._inboxes.delete_one({"_id": ObjectId(user_id)})

    async def _change(self, user_id: str, change: Callable[[Inbox], Inbox]) -> Inbox:
        for _ in range(MAX_ATTEMPTS):
            async with unavailable():
                document = await self._inboxes.find_one({"_id": ObjectId(user_id)}) or {}
            inbox = _inbox(document)
            changed = change(inbox)
            if changed == inbox or await self._replace(user_id, document, changed):
                return changed
        raise Unavailable("Too many marks are made here at once.")

    async def _replace(self, user_id: str, document: Document, inbox: Inbox) -> bool:
        """Store `inbox` if the stored one is still `document`. Return whether it was."""
        revision = document.get("revision")
        where = {"_id": ObjectId(user_id), "revision": {"$exists": False} if revision is None else revision}
        change: Document = {
            "$set": {"read_from": inbox.read_above.first, "read_bits": inbox.read_above.to_bytes()},
            "$max": {"last_seq": inbox.last_seq, "read_up_to": inbox.read_up_to},
            "$inc": {"revision": 1},
        }
        if "read_above" in document:
            # What an earlier version adds meanwhile stays.
            change["$pull"] = {"read_above": {"$in": document["read_above"]}}
        async with unavailable():
            try:
                result = await self._inboxes.update_one(where, change, upsert=revision is None)
            except DuplicateKeyError:
                # The upsert tries to insert an existing `_id` if the filter does not match.
                return False
        return bool(result.matched_count or result.upserted_id)


def _inbox(document: Mapping[str, Any]) -> Inbox:
    read_above = NumberSet.from_bytes(document.get("read_from", 0), document.get("read_bits", b""))
    read_above |= NumberSet.of(document.get("read_above", ()))
    inbox = Inbox(document.get("last_seq", 0), read_above=read_above, grouped_up_to=document.get("grouped_up_to"))
    return inbox.with_last_seq(read_above.last).with_read_up_to(document.get("read_up_to", 0))
