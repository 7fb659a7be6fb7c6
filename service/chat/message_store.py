"""The store of messages: what was said, by place (`seq`) and by change (`rev`)."""

from collections.abc import AsyncGenerator, Collection
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import IndexModel

from service.common.times import iso
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable

FIRST_WINDOW = 32
"""How many revs a first look takes in: of long messages half a megabyte, which is more than most readers want."""
AT_ONCE = 128
"""Messages in one read: of the longest two megabytes. On the embedded server a read costs some 2 ms beside the 0.1 ms
for each message, so that five of them take hardly longer than one of all."""
TAIL = 1000


class MessageStore:
    """`messages`: one document each, never taken out.

    `claims` holds every rev that the message has had. The unique index over them keeps a number taken after its
    message has gone on to a later one: without it, a writer that had stalled could be given a number whose
    successors are known already, and nobody who has those would ever ask for it.
    """

    def __init__(self, database: Database) -> None:
        self.collection = database["messages"]

    async def create_indexes(self) -> None:
        await self.collection.create_indexes(
            [
                IndexModel([("conversation_id", 1), ("seq", 1)], unique=True),
                IndexModel([("conversation_id", 1), ("claims", 1)], unique=True),
                IndexModel([("conversation_id", 1), ("rev", 1)]),
                IndexModel(
                    [("conversation_id", 1), ("sender_id", 1), ("nonce", 1)],
                    unique=True,
                    partialFilterExpression={"nonce": {"$exists": True}},
                ),
            ]
        )

    async def range(self, conversation_id: ObjectId, first: int, last: int) -> list[Document]:
        """The messages with `first` ≤ seq ≤ `last`, ascending."""
        found = await self._find({"conversation_id": conversation_id, "seq": {"$gte": first, "$lte": last}})
        return sorted(found, key=lambda document: int(document["seq"]))

    async def changes(self, conversation_id: ObjectId, after: int, last_rev: int) -> AsyncGenerator[Document]:
        """The messages whose rev is above `after`, ascending by rev; `last_rev` is known to be reached.

        They are read as they are asked for, a bounded number at a time. It reads ranges instead of sorting: a sort
        would take in the whole conversation on the embedded server.
        """
        low, width = after, FIRST_WINDOW
        while True:
            high = low + width
            beyond = high >= last_rev
            bound = {"$gt": low} if beyond else {"$gt": low, "$lte": high}
            window = await self._find({"conversation_id": conversation_id, "rev": bound}, AT_ONCE + 1)
            if len(window) > AT_ONCE:
                # More than was to be expected, in no certain order. So many revs cannot hold more messages.
                width, last_rev = AT_ONCE, max(last_rev, low + AT_ONCE + 1)
                continue
            for document in sorted(window, key=lambda document: int(document["rev"])):
                yield document
            if beyond:
                return
            # A message that has changed leaves its old revs empty: where few were found, the next look is wider.
            low, width = high, max(AT_ONCE, AT_ONCE * width // (2 * max(1, len(window))))

    async def tail(self, conversation_id: ObjectId, seq: int, rev: int) -> list[Document]:
        """What lies above either number, of which a writer may not know; the rest of it where that is a lot."""
        fields = {"seq": 1, "rev": 1, "sender_id": 1, "created_at": 1}
        async with unavailable():
            later = await self.collection.find(
                {"conversation_id": conversation_id, "rev": {"$gt": rev, "$lte": rev + TAIL}}, fields
            ).to_list(None)
            newer = await self.collection.find(
                {"conversation_id": conversation_id, "seq": {"$gt": seq, "$lte": seq + TAIL}}, fields
            ).to_list(None)
        return [*later, *newer]

    async def by_ids(self, message_ids: Collection[ObjectId]) -> dict[ObjectId, Document]:
        return {document["_id"]: document for document in await find_by_ids(self.collection, message_ids)}

    async def one(self, conversation_id: ObjectId, message_id: ObjectId) -> Document | None:
        async with unavailable():
            found: Document | None = await self.collection.find_one(
                {"_id": message_id, "conversation_id": conversation_id}
            )
        return found

    async def by_nonce(self, conversation_id: ObjectId, sender_id: ObjectId, nonce: str) -> Document | None:
        async with unavailable():
            found: Document | None = await self.collection.find_one(
                {"conversation_id": conversation_id, "sender_id": sender_id, "nonce": nonce}
            )
        return found

    async def conversations_between(self, since: datetime, until: datetime) -> list[ObjectId]:
        """The conversations in which something was said then; ids carry the time, so it needs no index."""
        span = {"$gte": ObjectId.from_datetime(since), "$lte": ObjectId.from_datetime(until)}
        async with unavailable():
            found: list[ObjectId] = await self.collection.distinct("conversation_id", {"_id": span})
        return found

    async def forget_digests(self, message_ids: Collection[ObjectId]) -> None:
        """What these messages said at first is not to be guessed from them; their nonces stay taken."""
        async with unavailable():
            await self.collection.update_many(
                {"_id": {"$in": list(message_ids)}, "digest": {"$exists": True}}, {"$set": {"digest": b""}}
            )

    async def _find(self, wanted: Document, most: int = 0) -> list[Document]:
        async with unavailable():
            found: list[Document] = await self.collection.find(wanted).limit(most).to_list(None)
        return found


def message_of(document: Document) -> dict[str, Any]:
    """A stored message as `models.Message` describes it; built by hand, for it is built for every message sent."""
    edited = document["edited_at"]
    reply_to = document["reply_to"]
    return {
        "id": str(document["_id"]),
        "conversation_id": str(document["conversation_id"]),
        "seq": document["seq"],
        "rev": document["rev"],
        "sender_id": str(document["sender_id"]),
        "content": document["content"],
        "nonce": document.get("nonce"),
        "reply_to": str(reply_to) if reply_to else None,
        "created_at": iso(document["created_at"]),
        "edited_at": iso(edited) if edited else None,
        "deleted": document["deleted"],
        "reactions": document["reactions"],
    }
