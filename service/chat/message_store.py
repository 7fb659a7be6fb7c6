"""The store of messages, read by position (`seq`) and by change (`rev`)."""

from collections.abc import AsyncGenerator, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from bson import ObjectId
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from service.attachments.attachments import FIELD as ATTACHMENTS
from service.attachments.attachments import own_nonce
from service.attachments.links import AttachmentLinks
from service.chat.barrier import barrier_message, is_barrier
from service.chat.reactions import shown_users
from service.chat.system_message import event_json, is_system
from service.common.errors import Unavailable
from service.common.times import iso
from service.datastores.find_by_ids import Place, find_by_ids, find_in_lists, in_lists
from service.datastores.mongo import Database, Document, committed_reads, unavailable
from service.datastores.scan import WHOLE_BATCH, scan

REV_HISTORY = "claims"
"""The stored field that lists every rev a message has had."""
CHANGED_AT = "changed_at"
"""The stored field with the time of a message's last change; at first, that of its creation."""
FIRST_WINDOW = 32
"""Revs in the first window of `changes`: half a megabyte of long messages, which is more than most readers need."""
MAX_READ = 128
"""Messages in one read: two megabytes of the longest. On the embedded server a read costs some 2 ms beside the 0.1 ms
for each message, so five such reads take hardly longer than one of all."""
WRITTEN_STEP = timedelta(minutes=1)
"""The time that one read for `conversations_written` covers: its result must fit into one document of 16 MB."""
TAIL = 1000
"""Numbers above the known ones that `tail` covers."""
MAX_BARRIER_ATTEMPTS = 100
"""Numbers that a barrier loses to messages in a row: two people do not write faster."""


class MessageStore:
    """`messages`: one document each, never deleted; and the barriers of direct conversations (see DirectBlocks).

    Messages that users write have no `kind`; system messages have one, and an `event` (see `system_message`). They are
    stored with `deleted` true, because all that is true of a deleted message is true of them: they have no content, are
    never unread, nobody changes them, and one index has these messages alone.

    `claims` holds every rev that the message has had. The unique index over them keeps a number taken after its
    message has moved on to a later one. Without it, a stalled writer could be given a rev whose successors clients
    already have, and no client would ever ask for it.

    Reads use read concern `majority`. Otherwise a client could see a rev that a fail-over rolls back and gives to
    another message, which that client would then never fetch.
    """

    def __init__(self, database: Database, links: AttachmentLinks | None = None) -> None:
        """`links`: signs the URLs of attachments. Without it, nobody accepts them."""
        self._links = links or AttachmentLinks(token_hex())
        self.collection = database["messages"]
        self._committed = committed_reads(self.collection)

    async def create_indexes(self) -> None:
        await self.collection.create_indexes(
            [
                IndexModel([("conversation_id", 1), ("seq", 1)], unique=True),
                IndexModel([("conversation_id", 1), (REV_HISTORY, 1)], unique=True),
                IndexModel([("conversation_id", 1), ("rev", 1)]),
                IndexModel(
                    [("conversation_id", 1), ("sender_id", 1), ("nonce", 1)],
                    unique=True,
                    partialFilterExpression={"nonce": {"$exists": True}},
                ),
                IndexModel(
                    [("conversation_id", 1), ("deleted", 1), ("seq", 1)], partialFilterExpression={"deleted": True}
                ),
                # Not by the time in the ids: the embedded server reads the whole collection for a range of ids.
                IndexModel([(CHANGED_AT, 1)]),
            ]
        )

    async def range(self, conversation_id: ObjectId, first: int, last: int) -> list[Document]:
        """Return the messages with `first` ≤ seq ≤ `last`, ascending. Raises Unavailable."""
        found = await self._find({"conversation_id": conversation_id, "seq": {"$gte": first, "$lte": last}})
        return sorted(found, key=lambda document: int(document["seq"]))

    async def changes(
        self, conversation_id: ObjectId, after: int, last_rev: int, start: int = 0
    ) -> AsyncGenerator[Document]:
        """Yield the messages whose rev is above `after`, ascending by rev; with `start`, only those whose seq is above
        it. Raises Unavailable.

        `last_rev` is a rev known to exist; messages above it are found as well. Reads a bounded number of messages at a
        time, and only as the caller iterates. Reads ranges instead of sorting: on the embedded server a sort by number
        reads the whole conversation.
        """
        low, width = after, FIRST_WINDOW
        while True:
            high = low + width
            is_last = high >= last_rev
            bounds = {"$gt": low} if is_last else {"$gt": low, "$lte": high}
            where: Document = {"conversation_id": conversation_id, "rev": bounds}
            if start:
                where["seq"] = {"$gt": start}
            window = await self._find(where, MAX_READ + 1)
            if len(window) > MAX_READ:
                # More messages than expected, in no certain order. MAX_READ revs cannot hold more than MAX_READ.
                width, last_rev = MAX_READ, max(last_rev, low + MAX_READ + 1)
                continue
            for document in sorted(window, key=lambda document: int(document["rev"])):
                yield document
            if is_last:
                return
            # A changed message leaves its old revs empty: after a window with few messages the next one is wider.
            low, width = high, max(MAX_READ, MAX_READ * width // (2 * max(1, len(window))))

    async def tail(self, conversation_id: ObjectId, seq: int, rev: int) -> list[Document]:
        """Return the messages above `seq` and those above `rev`, each up to TAIL numbers further. Raises Unavailable.

        A message may be in the list twice. The documents have only the fields that counters need.
        """
        return (await self.tail_and_barrier(conversation_id, seq, rev))[0]

    async def tail_and_barrier(
        self, conversation_id: ObjectId, seq: int, rev: int
    ) -> tuple[list[Document], ObjectId | None]:
        """Like `tail`; return also the barrier above `seq`, if there is one (see DirectBlocks)."""
        fields = {"seq": 1, "rev": 1, "sender_id": 1, "created_at": 1, "deleted": 1, "kind": 1, "mentions": 1}
        async with unavailable():
            by_rev = await self._committed.find(
                {"conversation_id": conversation_id, "rev": {"$gt": rev, "$lte": rev + TAIL}}, fields
            ).to_list(None)
            by_seq = await self._committed.find(
                {"conversation_id": conversation_id, "seq": {"$gt": seq, "$lte": seq + TAIL}}, fields
            ).to_list(None)
        barrier = next((document["_id"] for document in by_seq if is_barrier(document)), None)
        return [*by_rev, *(document for document in by_seq if not is_barrier(document))], barrier

    async def add_barrier(self, conversation_id: ObjectId, barrier_id: ObjectId, last_seq: int) -> ObjectId | None:
        """Let a barrier take the next number, unless it has one. Return the id of another one that has taken it.

        `last_seq` is a number that the conversation has reached. Raises Unavailable.
        """
        for _ in range(MAX_BARRIER_ATTEMPTS):
            with suppress(DuplicateKeyError):
                async with unavailable():
                    await self.collection.insert_one(barrier_message(conversation_id, barrier_id, last_seq + 1))
                return None
            above = {"conversation_id": conversation_id, "seq": {"$gt": last_seq, "$lte": last_seq + TAIL}}
            async with unavailable():
                found = await self._committed.find(above, {"seq": 1, "kind": 1}).to_list(None)
            for document in found:
                if document["_id"] == barrier_id:
                    return None
                if is_barrier(document):
                    other: ObjectId = document["_id"]
                    return other
                last_seq = max(last_seq, document["seq"])
        raise Unavailable

    async def remove_barrier(self, conversation_id: ObjectId, barrier_id: ObjectId) -> None:
        """Remove a barrier, if it exists. Raises Unavailable."""
        async with unavailable():
            await self.collection.delete_one({"_id": barrier_id, "conversation_id": conversation_id})

    async def with_nonce(self, conversation_id: ObjectId, sender_id: ObjectId, nonce: str) -> Document | None:
        """Return the message that the sender has stored with this nonce, or None. Raises Unavailable."""
        where = {"conversation_id": conversation_id, "sender_id": sender_id, "nonce": nonce}
        async with unavailable():
            found: Document | None = await self._committed.find_one(where)
        return found

    async def never_unread(self, conversation_id: ObjectId, after: int, last: int) -> list[int]:
        """Return the seqs of the deleted and the system messages with `after` < seq ≤ `last`, in no order.

        Raises Unavailable.
        """
        where = {"conversation_id": conversation_id, "deleted": True, "seq": {"$gt": after, "$lte": last}}
        async with unavailable():
            found = await self._committed.find(where, {"seq": 1}).to_list(None)
        return [document["seq"] for document in found]

    async def mentioning(self, conversation_id: ObjectId, after: int, last: int) -> list[Document]:
        """Return sender, seq and mentions of the messages with `after` < seq ≤ `last` that mention anybody.

        Raises Unavailable.
        """
        # Of the range, which is bounded, and not by an index of mentions: every message would pay for that one.
        where = {"conversation_id": conversation_id, "seq": {"$gt": after, "$lte": last}, "deleted": False}
        async with unavailable():
            found: list[Document] = await self._committed.find(
                {**where, "mentions": {"$exists": True}}, {"seq": 1, "sender_id": 1, "mentions": 1}
            ).to_list(None)
        return found

    async def get_many(self, places: Collection[Place]) -> dict[ObjectId, Document]:
        """Return those of the messages that exist, each given as its conversation and its id. Raises Unavailable."""
        found = await find_in_lists(self._committed, "conversation_id", places)
        return {document["_id"]: document for document in found if not is_barrier(document)}

    async def at(self, conversation_id: ObjectId, seqs: Collection[int]) -> list[Document]:
        """Return the messages with these seqs, in no order. Raises Unavailable."""
        # Nothing beside the `$in`: with a range, too, the embedded server reads the whole conversation.
        found = await self._find({"conversation_id": conversation_id, "seq": {"$in": list(seqs)}})
        return [document for document in found if not is_barrier(document)]

    async def places(self, keys: Collection[Document]) -> list[Place]:
        """Return the places of the messages that changes are about (see `Change.key`). Raises Unavailable."""
        where: Document = {"content": {"$exists": True}}
        if all("conversation_id" in key for key in keys):
            where["conversation_id"] = {"$in": list({key["conversation_id"] for key in keys})}
        ids = {key["_id"] for key in keys}
        found = await find_by_ids(self._committed, ids, {"conversation_id": True}, where)
        return [(document["conversation_id"], document["_id"]) for document in found]

    async def anywhere(self, message_id: ObjectId) -> Document | None:
        """Return the message of any conversation, or None if there is none that users have written and not deleted. For
        reports: asks every shard. Raises Unavailable."""
        async with unavailable():
            found: Document | None = await self._committed.find_one({"_id": message_id, "deleted": False})
        return None if found and is_system(found) else found

    async def get(self, conversation_id: ObjectId, message_id: ObjectId) -> Document | None:
        """Return the message, or None if this conversation has no such message. Raises Unavailable."""
        async with unavailable():
            found: Document | None = await self._committed.find_one(
                {"_id": message_id, "conversation_id": conversation_id}
            )
        return None if found and is_barrier(found) else found

    async def conversations_written(self, since: datetime, until: datetime) -> AsyncGenerator[set[ObjectId]]:
        """Yield the conversations with messages that were created or changed in that time, step by step.

        A conversation may be in several steps. Raises Unavailable.
        """
        while since < until:
            end = min(since + WRITTEN_STEP, until)
            async with unavailable():
                written = {CHANGED_AT: {"$gte": since, "$lte": end}}
                found: list[ObjectId] = await self.collection.distinct("conversation_id", written)
            yield set(found)
            since = end

    async def whole_of(self, sender_id: str, since: datetime) -> AsyncGenerator[list[Document]]:
        """Yield a user's messages since `since` in all conversations, in batches; not those that were deleted. Raises
        Unavailable."""
        async for batch in scan(self._committed, {"sender_id": ObjectId(sender_id)}, None, since, WHOLE_BATCH):
            yield [document for document in batch if not document["deleted"]]

    async def reacted_by(self, user_id: str, since: datetime | None = None) -> AsyncGenerator[list[Document]]:
        """Yield the messages to which the user has reacted, with their place and reactions, in batches; optionally only
        messages since `since`. Raises Unavailable."""
        fields = {"conversation_id": 1, "reactions": 1}
        async for batch in scan(self.collection, {"reactions": {"$ne": {}}}, fields, since):
            yield [each for each in batch if any(user_id in users for users in each["reactions"].values())]

    async def erase_digests(self, places: Collection[Place]) -> None:
        """Erase the digests, from which the original content could be guessed; the nonces stay taken."""
        selected = in_lists("conversation_id", places)
        async with unavailable():
            await self.collection.update_many(selected | {"digest": {"$exists": True}}, {"$set": {"digest": b""}})

    def as_json(self, document: Document, viewer: str | None = None) -> dict[str, Any]:
        """Return a stored message in the form of `models.Message`. Built by hand, because every sent message needs it.

        `viewer` is the user whom it is for, if it is for one: among many users of a reaction, this one is shown.
        """
        edited = document["edited_at"]
        reply_to = document["reply_to"]
        return {
            "id": str(document["_id"]),
            "kind": document.get("kind", "text"),
            "conversation_id": str(document["conversation_id"]),
            "seq": document["seq"],
            "rev": document["rev"],
            "sender_id": str(document["sender_id"]),
            "content": document["content"],
            "nonce": own_nonce(document.get("nonce")),
            "reply_to": str(reply_to) if reply_to else None,
            "attachments": self._links.list_of(document.get(ATTACHMENTS, ())),
            "event": event_json(document),
            "created_at": iso(document["created_at"]),
            "edited_at": iso(edited) if edited else None,
            "mentions": [str(user_id) for user_id in document.get("mentions", ())],
            "deleted": document["deleted"] and not is_system(document),
            "reactions": shown_users(document["reactions"], viewer),
            "reaction_counts": {emoji: len(users) for emoji, users in document["reactions"].items()},
        }

    async def _find(self, where: Document, limit: int = 0) -> list[Document]:
        async with unavailable():
            found: list[Document] = await self._committed.find(where).limit(limit).to_list(None)
        return found


def visible(message: dict[str, Any] | None, start: int) -> dict[str, Any] | None:
    """Return the message in its JSON form if its seq is above `start`, after which a user sees the messages."""
    return message if message and message["seq"] > start else None
