"""The store of conversations: who takes part, how far each has read, and how far the messages have got."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import DESCENDING, IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from service.chat.models import MAX_PARTICIPANTS
from service.common.errors import NotFound, ValidationFailed
from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable

SAME_MOMENT = 50
"""Conversations that may have been active in the very millisecond of a cursor: read once more, and left out."""


class HeadVersion(NamedTuple):
    """How a conversation stands: its `version` changes with its participants, the numbers are hints, never too high."""

    version: int
    seq: int
    rev: int


@dataclass(slots=True)
class Place:
    """Where the messages of a conversation have got to, and who took part as of `version`."""

    version: int
    participants: list[str]
    members: frozenset[bytes]
    """The same, for looking someone up: a list of 2,000 takes half a millisecond to look through."""
    seq: int
    rev: int

    def reach(self, seq: int, rev: int) -> None:
        """There are messages up to these numbers."""
        self.seq = max(self.seq, seq)
        self.rev = max(self.rev, rev)


MANY = 2000
"""Conversations read at once for several users; where they have more, each is read alone, and cut by the database."""


@dataclass(slots=True)
class CounterUpdate:
    """What a batch of stored messages means for their conversation."""

    rev: int = 0
    seq: int = 0
    message_id: ObjectId | None = None
    at: datetime | None = None
    reads: dict[str, int] = field(default_factory=dict)


class ConversationStore:
    """`conversations`: one document each.

    `last` ({seq, id}), `last_rev` and `last_activity` are hints: they are raised a moment after a message is stored and
    told (see WriteBehind), and never too high. They say where to begin to look for the last number; whoever shows them
    brings them up to date first (see CounterReader). `reads` maps a user to the seq they have read up to.
    `participants`
    is in the order of joining; `version` goes up with every change of it. `erased` names who of a direct conversation
    has been deleted: it keeps them as participants, and nothing may be noted of them any more.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["conversations"]

    async def create_indexes(self) -> None:
        await self._collection.create_indexes(
            [
                IndexModel([("participants", 1), ("last_activity", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([("direct_key", 1)], unique=True, partialFilterExpression={"direct_key": {"$exists": True}}),
            ]
        )

    async def create_direct(self, one: ObjectId, other: ObjectId) -> tuple[Document, bool]:
        """The direct conversation of the two, and whether it is new."""
        key = ":".join(sorted((str(one), str(other))))
        document = self._blank("direct", None, [one, other]) | {"direct_key": key}
        async with unavailable():
            try:
                await self._collection.insert_one(document)
            except DuplicateKeyError:
                found: Document | None = await self._collection.find_one({"direct_key": key})
                if found is None:
                    raise
                return found, False
        return document, True

    async def create_group(self, owner: ObjectId, others: Iterable[ObjectId], title: str | None) -> Document:
        document = self._blank("group", title, [owner, *others])
        async with unavailable():
            await self._collection.insert_one(document)
        return document

    async def get(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Raises NotFound, also where `user_id` takes no part."""
        async with unavailable():
            found: Document | None = await self._collection.find_one({"_id": conversation_id, "participants": user_id})
        if found is None:
            raise NotFound
        return found

    async def get_many(self, conversation_ids: Collection[ObjectId], user_id: ObjectId) -> dict[ObjectId, Document]:
        """Those of the conversations in which `user_id` takes part."""
        fields = {"last": 1, "last_rev": 1, f"reads.{user_id}": 1}
        found = await find_by_ids(self._collection, conversation_ids, fields, {"participants": user_id})
        return {document["_id"]: document for document in found}

    async def page(
        self,
        user_id: ObjectId,
        limit: int,
        before: tuple[datetime, ObjectId] | None = None,
        fields: dict[str, Any] | None = None,
    ) -> list[Document]:
        """The `limit` most recently active conversations of `user_id` (before that place in the order)."""
        wanted: Document = {"participants": user_id}
        if before:
            wanted["last_activity"] = {"$lte": before[0]}
        order = [("last_activity", DESCENDING), ("_id", DESCENDING)]
        room = limit + SAME_MOMENT if before else limit
        async with unavailable():
            found: list[Document] = await self._collection.find(wanted, fields).sort(order).limit(room).to_list(room)
        if before:
            found = [document for document in found if activity_of(document) < before]
        return found[:limit]

    async def recent(self, user_ids: Collection[ObjectId], limit: int) -> dict[ObjectId, list[Document]]:
        """For each of the users the numbers of their `limit` most recently active conversations, in one read where
        that is not too much for one."""
        fields: Document = {"last": 1, "last_rev": 1, "last_activity": 1}
        fields |= {f"reads.{user_id}": 1 for user_id in user_ids}
        if len(user_ids) > 1:
            async with unavailable():
                cursor = self._collection.find({"participants": {"$in": list(user_ids)}}, fields | {"participants": 1})
                found: list[Document] = await cursor.limit(MANY + 1).to_list(None)
            if len(found) <= MANY:
                return _by_user(found, user_ids, limit)
        return {user_id: await self.page(user_id, limit, fields=fields) for user_id in user_ids}

    async def rename(self, conversation_id: ObjectId, user_id: ObjectId, title: str) -> Document | None:
        """The changed conversation; None where there is no such group of that user's."""
        return await self._change_group(conversation_id, {"participants": user_id}, {"$set": {"title": title}})

    async def add(self, conversation: Document, user_id: ObjectId, new: Collection[ObjectId]) -> Document | None:
        """Add `new`, on the word of participant `user_id`. Raises ValidationFailed where it would be too many."""
        room = MAX_PARTICIPANTS - len(new)
        if room < 0:
            raise ValidationFailed.of("user_ids", f"A conversation has at most {MAX_PARTICIPANTS} participants.")
        changed = await self._change_group(
            conversation["_id"],
            # Whoever else adds people meanwhile, there is no element beyond the room.
            {"participants": user_id, f"participants.{room}": {"$exists": False}},
            {
                "$addToSet": {"participants": {"$each": list(new)}},
                # What was said before they came is not unread to them.
                "$max": {f"reads.{member}": seq_of(conversation) for member in new},
            },
        )
        if changed is None and len(conversation["participants"]) + len(new) > MAX_PARTICIPANTS:
            raise ValidationFailed.of("user_ids", f"A conversation has at most {MAX_PARTICIPANTS} participants.")
        return changed

    async def remove(self, conversation_id: ObjectId, user_id: ObjectId, member: ObjectId) -> Document | None:
        """Take `member` out, on the word of themselves or of the owner; None where that is not so."""
        by_whom: Document = {"participants": {"$all": [user_id, member]}}
        if user_id != member:
            by_whom["owner_id"] = user_id
        return await self._change_group(
            conversation_id, by_whom, {"$pull": {"participants": member}, "$unset": {f"reads.{member}": 1}}
        )

    async def hand_over(self, conversation_id: ObjectId, old: ObjectId, new: ObjectId) -> None:
        """Make `new` the owner where `old`, who has left, still is."""
        async with unavailable():
            await self._collection.update_one(
                {"_id": conversation_id, "owner_id": old, "participants": new}, {"$set": {"owner_id": new}}
            )

    async def read(self, conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        """Raise `user_id`'s read mark to `seq`; whether that moved it. Raises NotFound."""
        async with unavailable():
            result = await self._collection.update_one(
                {"_id": conversation_id, "participants": user_id, "erased": {"$ne": user_id}},
                {"$max": {f"reads.{user_id}": seq}},
            )
        if not result.matched_count:
            raise NotFound
        return bool(result.modified_count)

    async def groups_of(self, user_id: ObjectId, limit: int) -> list[ObjectId]:
        """Some of the groups in which `user_id` takes part."""
        async with unavailable():
            found = await self._collection.find({"participants": user_id, "kind": "group"}, {"_id": 1}).to_list(limit)
        return [document["_id"] for document in found]

    async def marked_by(self, user_id: ObjectId, limit: int) -> list[ObjectId]:
        """Some of the conversations in which `user_id` takes part and has a read mark."""
        marked = {"participants": user_id, f"reads.{user_id}": {"$exists": True}}
        async with unavailable():
            found = await self._collection.find(marked, {"_id": 1}).to_list(limit)
        return [document["_id"] for document in found]

    async def forget_reads(self, conversation_ids: Collection[ObjectId], user_id: ObjectId) -> None:
        """Take `user_id`'s read marks out of these conversations, for good: they are being deleted."""
        those = {"_id": {"$in": list(conversation_ids)}}
        async with unavailable():
            # First, so that nothing is noted in between.
            await self._collection.update_many(those | {"kind": "direct"}, {"$addToSet": {"erased": user_id}})
            await self._collection.update_many(those, {"$unset": {f"reads.{user_id}": 1}})

    async def places(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, Place]:
        """Those of the conversations that exist. Raises Unavailable."""
        documents = await self._numbers(conversation_ids, {"participants": 1})
        return {
            document["_id"]: Place(
                version_of(document),
                [str(user_id) for user_id in document["participants"]],
                frozenset(user_id.binary for user_id in document["participants"]),
                seq_of(document),
                document["last_rev"],
            )
            for document in documents
        }

    async def stands(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, HeadVersion]:
        """As `places`, without the participants, which may be a thousand."""
        documents = await self._numbers(conversation_ids, {})
        return {
            document["_id"]: HeadVersion(version_of(document), seq_of(document), document["last_rev"])
            for document in documents
        }

    async def _numbers(self, conversation_ids: Collection[ObjectId], fields: Document) -> list[Document]:
        return await find_by_ids(self._collection, conversation_ids, {"last": 1, "last_rev": 1, "version": 1, **fields})

    async def apply_counters(self, touches: dict[ObjectId, CounterUpdate]) -> None:
        """Raise what `touches` say, in one write; whoever was faster and further is not set back.

        It comes late, so who said something may have gone since: they get no read mark. That is rare, and costs a
        second write.
        """
        async with unavailable():
            result = await self._collection.bulk_write(
                [_touch(conversation_id, touch, touch.reads) for conversation_id, touch in touches.items()],
                ordered=False,
            )
            if result.matched_count == len(touches):
                return
            updates = []
            for conversation_id, touch in touches.items():
                updates.append(_touch(conversation_id, touch, {}))
                updates += [_touch(conversation_id, touch, {reader: seq}) for reader, seq in touch.reads.items()]
            await self._collection.bulk_write(updates, ordered=False)

    async def _change_group(self, conversation_id: ObjectId, wanted: Document, change: Document) -> Document | None:
        # Not find_one_and_update, for which the embedded server reads the whole collection.
        async with unavailable():
            result = await self._collection.update_one(
                {"_id": conversation_id, "kind": "group", **wanted}, {**change, "$inc": {"version": 1}}
            )
            if not result.matched_count:
                return None
            changed: Document | None = await self._collection.find_one({"_id": conversation_id})
        return changed

    @staticmethod
    def _blank(kind: str, title: str | None, participants: list[ObjectId]) -> Document:
        moment = now()
        return {
            "_id": ObjectId(),
            "kind": kind,
            "title": title,
            "participants": participants,
            "owner_id": participants[0],
            "created_at": moment,
            "last_activity": moment,
            "last": {"seq": 0, "id": None},
            "last_rev": 0,
            "reads": {},
            "version": 0,
        }


def _touch(conversation_id: ObjectId, touch: CounterUpdate, reads: dict[str, int]) -> UpdateOne:
    """Raise it to what `touch` says, with these read marks, where all of these readers take part and are not erased."""
    highest: Document = {"last_rev": touch.rev}
    if touch.message_id:
        # Documents compare field by field, so the greater seq decides.
        highest |= {"last": {"seq": touch.seq, "id": touch.message_id}, "last_activity": touch.at}
        highest |= {f"reads.{reader}": seq for reader, seq in reads.items()}
    wanted: Document = {"_id": conversation_id}
    if reads:
        readers = [ObjectId(reader) for reader in reads]
        wanted |= {"participants": {"$all": readers}, "erased": {"$nin": readers}}
    return UpdateOne(wanted, {"$max": highest})


def _by_user(found: Sequence[Document], user_ids: Collection[ObjectId], limit: int) -> dict[ObjectId, list[Document]]:
    theirs: dict[ObjectId, list[Document]] = {user_id: [] for user_id in user_ids}
    for document in sorted(found, key=activity_of, reverse=True):
        for user_id in theirs.keys() & document["participants"]:
            if len(theirs[user_id]) < limit:
                theirs[user_id].append(document)
    return theirs


def owner_of(conversation: Document) -> ObjectId:
    """The owner; where they have left, and nobody got to hand the group over, whoever has been in it the longest."""
    owner: ObjectId = conversation["owner_id"]
    members: list[ObjectId] = conversation["participants"]
    return owner if owner in members or not members else members[0]


def activity_of(conversation: Document) -> tuple[datetime, ObjectId]:
    """The order of a user's conversations is that of these, the greatest first."""
    return conversation["last_activity"], conversation["_id"]


def seq_of(conversation: Document) -> int:
    seq: int = conversation["last"]["seq"]
    return seq


def version_of(conversation: Document) -> int:
    """Counts the changes of a group's title and participants: what is told of them is told in this order."""
    version: int = conversation.get("version", 0)
    return version


def read_of(conversation: Document, user_id: ObjectId | str) -> int:
    """The seq that `user_id` has read up to."""
    seq: int = conversation.get("reads", {}).get(str(user_id), 0)
    return seq
