"""The store of conversations: participants, read marks, and counters of messages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING, IndexModel, UpdateOne

from service.chat.conversation_head import ConversationHead, HeadVersion
from service.chat.counter_update import CounterUpdate
from service.chat.direct_conversations import DirectConversations
from service.chat.group_store import UNANNOUNCED, UNANNOUNCED_REMOVALS, GroupStore
from service.chat.members import History, start_of
from service.common.errors import NotFound
from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all

MAX_SHARED_READ = 2000
"""Conversations read at once for several users. If they have more, each user's are read alone, limited by the
database."""


SHARED_READ = 10
"""Groups in one read of `sharing`, each with its participants."""


class ConversationStore:
    """`conversations`: one document each.

    The counters `last` ({seq, id}), `last_rev`, `last_activity` and `last_deleted` (the seq of the last message that is
    never unread: a deleted or a system message) are hints: they lag a moment behind the stored and published messages
    (see WriteBehind) and are never too high. They say where to start looking for the last number; CounterReader brings
    them up to date before they are shown. `reads` maps a user id to the seq that user has read up to. `participants` is
    in the order of joining.
    `joined` has the times at which users were added ({at, users}), and `starts` the seq after which they see the
    messages, unless they see all; `history` says which of the two is for those who join from now on. `owner_id` and
    `admins`: see GroupStore. `version` increases with each change of participants, roles, title or history, and
    `changed_at` is the time of that.
    `erased` lists the deleted users of a direct conversation: they remain participants, but get no read marks.
    `unannounced`, `unannounced_removals` and `pending_messages` are written together with a change of title or
    participants, and removed once it is published (see ConversationAnnouncer).
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["conversations"]
        self.groups = GroupStore(self._collection)
        self.direct = DirectConversations(database)

    async def create_indexes(self) -> None:
        await self._collection.create_indexes(
            [
                IndexModel([("participants", 1), ("last_activity", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([(UNANNOUNCED, 1)], sparse=True),
                IndexModel([("former.user", 1)], sparse=True),
            ]
        )

    async def create_direct(self, one: ObjectId, other: ObjectId) -> tuple[Document, bool]:
        """Return the direct conversation of two users, and whether this call created it. Raises Unavailable."""
        return await self.direct.insert(self._blank("direct", None, [one, other]), one, other)

    async def create_group(
        self,
        owner: ObjectId,
        others: Iterable[ObjectId],
        title: str | None,
        history: History = "since_joined",
        *,
        identity: Document | None = None,
    ) -> Document:
        """`identity`: the `_id` of the group, and fields that belong to it. Raises DuplicateKeyError if it exists."""
        document = self._blank("group", title, [owner, *others]) | {"history": history} | (identity or {})
        async with unavailable():
            await self._collection.insert_one(document)
        return document

    async def get(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Return the conversation. Raises NotFound unless `user_id` is a participant of it; Unavailable."""
        async with unavailable():
            found: Document | None = await self._collection.find_one({"_id": conversation_id, "participants": user_id})
        if found is None:
            raise NotFound
        return found

    async def find(self, conversation_id: ObjectId) -> Document | None:
        """Return the conversation, or None, without checking a participant. Raises Unavailable."""
        async with unavailable():
            found: Document | None = await self._collection.find_one({"_id": conversation_id})
        return found

    async def check_participant(self, conversation_id: ObjectId, user_id: ObjectId) -> int:
        """Return the seq after which the participant `user_id` sees the messages (see `members.start_of`).

        Raises NotFound if they are not a participant, or not any more; Unavailable.

        For readers: what they have read was stored before this call, and the user may see it only as a participant. If
        they have left and joined again meanwhile, they see less of it.
        """
        wanted = {"_id": conversation_id, "participants": user_id}
        async with unavailable():
            found: Document | None = await self._collection.find_one(wanted, {f"starts.{user_id}": 1})
        if found is None:
            raise NotFound
        return start_of(found, user_id)

    async def sharing(self, user_id: str, others: Collection[str]) -> set[str]:
        """Return those of `others` who share a conversation with `user_id`. Raises Unavailable."""
        wanted = {ObjectId(other): other for other in others}
        user, found = ObjectId(user_id), set[ObjectId]()
        direct = await self.direct.ids(user, wanted)
        for document in await find_by_ids(self._collection, direct, {"participants": 1}):
            found.update(document["participants"])
        async with unavailable():
            while missing := list(wanted.keys() - found):
                # A few groups at a time: the first ones of most users have all of them.
                where = {"participants": {"$all": [user], "$in": missing}}
                groups = await self._collection.find(where, {"participants": 1}).limit(SHARED_READ).to_list(None)
                if not groups:
                    break
                for document in groups:
                    found.update(document["participants"])
        return {wanted[other] for other in wanted.keys() & found}

    async def get_many(self, conversation_ids: Collection[ObjectId], user_id: ObjectId) -> dict[ObjectId, Document]:
        """Return those conversations in which `user_id` is a participant: the counters, and what `members` says of the
        user's read mark and history."""
        fields = {"last": 1, "last_rev": 1, "last_deleted": 1, f"reads.{user_id}": 1, f"starts.{user_id}": 1}
        found = await find_by_ids(self._collection, conversation_ids, fields, {"participants": user_id})
        return {document["_id"]: document for document in found}

    async def page(
        self,
        user_id: ObjectId,
        limit: int,
        before: tuple[datetime, ObjectId] | None = None,
        fields: dict[str, Any] | None = None,
    ) -> list[Document]:
        """Return the `limit` most recently active conversations of `user_id`, or of those behind the sort key `before`.

        The sort key is that of `activity_of`. Raises Unavailable.
        """
        if before is None:
            return await self._most_recent({"participants": user_id}, limit, fields)
        moment, conversation_id = before
        # Any number of conversations may have their last activity in the same millisecond: those are read first. One
        # read with an `$or` would not use the index on the embedded server.
        same_moment = {"participants": user_id, "last_activity": moment, "_id": {"$lt": conversation_id}}
        found = await self._most_recent(same_moment, limit, fields)
        if len(found) < limit:
            earlier = {"participants": user_id, "last_activity": {"$lt": moment}}
            found += await self._most_recent(earlier, limit - len(found), fields)
        return found

    async def _most_recent(self, where: Document, limit: int, fields: dict[str, Any] | None) -> list[Document]:
        order = [("last_activity", DESCENDING), ("_id", DESCENDING)]
        async with unavailable():
            found: list[Document] = await self._collection.find(where, fields).sort(order).limit(limit).to_list(limit)
        return found

    async def recent(self, user_ids: Collection[ObjectId], limit: int) -> dict[ObjectId, list[Document]]:
        """Return the counters of each user's `limit` most recently active conversations; with one read if they are not
        too many (MAX_SHARED_READ)."""
        fields: Document = {"last": 1, "last_rev": 1, "last_activity": 1}
        fields |= {f"{name}.{user_id}": 1 for user_id in user_ids for name in ("reads", "starts")}
        if len(user_ids) > 1:
            async with unavailable():
                cursor = self._collection.find({"participants": {"$in": list(user_ids)}}, fields | {"participants": 1})
                found: list[Document] = await cursor.limit(MAX_SHARED_READ + 1).to_list(None)
            if len(found) <= MAX_SHARED_READ:
                return _group_by_user(found, user_ids, limit)
        pages = {user_id: await self.page(user_id, limit, fields=fields) for user_id in user_ids}
        # One document for all users: the caller updates its counters in place.
        shared: dict[ObjectId, Document] = {}
        return {
            user_id: [shared.setdefault(document["_id"], document) for document in documents]
            for user_id, documents in pages.items()
        }

    async def larger_than(self, size: int, user_ids: Collection[ObjectId]) -> dict[ObjectId, dict[ObjectId, int]]:
        """Return the conversations of each user that have more than `size` participants, with their `last_rev`.

        Raises Unavailable."""
        where = {"participants": {"$in": list(user_ids)}, f"participants.{size}": {"$exists": True}}
        found: dict[ObjectId, dict[ObjectId, int]] = {user_id: {} for user_id in user_ids}
        async with unavailable():
            async for document in self._collection.find(where, {"participants": 1, "last_rev": 1}):
                for user_id in found.keys() & document["participants"]:
                    found[user_id][document["_id"]] = document["last_rev"]
        return found

    async def mark_read(self, conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        """Raise the read mark of `user_id` to `seq`. Returns whether that changed it. Raises NotFound, Unavailable."""
        async with unavailable():
            result = await self._collection.update_one(
                {"_id": conversation_id, "participants": user_id, "erased": {"$ne": user_id}},
                {"$max": {f"reads.{user_id}": seq}},
            )
        if not result.matched_count:
            raise NotFound
        return bool(result.modified_count)

    async def groups_of(self, user_id: ObjectId, limit: int) -> list[ObjectId]:
        """Return at most `limit` groups in which `user_id` is a participant. Raises Unavailable."""
        async with unavailable():
            found = await self._collection.find({"participants": user_id, "kind": "group"}, {"_id": 1}).to_list(limit)
        return [document["_id"] for document in found]

    async def with_read_marks(self, user_id: ObjectId, limit: int) -> list[ObjectId]:
        """Return at most `limit` conversations in which `user_id` is a participant and has a read mark."""
        marked = {"participants": user_id, f"reads.{user_id}": {"$exists": True}}
        async with unavailable():
            found = await self._collection.find(marked, {"_id": 1}).to_list(limit)
        return [document["_id"] for document in found]

    async def erase_read_marks(self, conversation_ids: Collection[ObjectId], user_id: ObjectId) -> None:
        """Remove the read marks of a user who is being deleted, and prevent new ones. Raises Unavailable."""
        selected = {"_id": {"$in": list(conversation_ids)}}
        async with unavailable():
            # `erased` first: otherwise a read mark could be written between the two updates.
            await self._collection.update_many(selected | {"kind": "direct"}, {"$addToSet": {"erased": user_id}})
            await self._collection.update_many(selected, {"$unset": {f"reads.{user_id}": 1}})

    async def heads(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, ConversationHead]:
        """Return the heads of those conversations that exist. Raises Unavailable."""
        documents = await self._read_heads(conversation_ids, {"participants": 1, "starts": 1})
        return {
            document["_id"]: ConversationHead(
                version_of(document),
                [str(user_id) for user_id in document["participants"]],
                frozenset(user_id.binary for user_id in document["participants"]),
                seq_of(document),
                document["last_rev"],
                document.get("starts", {}),
                max(document.get("starts", {}).values(), default=0),
            )
            for document in documents
        }

    async def head_versions(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, HeadVersion]:
        """Like `heads`, without the participants, of which there may be thousands."""
        documents = await self._read_heads(conversation_ids, {})
        return {
            document["_id"]: HeadVersion(version_of(document), seq_of(document), document["last_rev"])
            for document in documents
        }

    async def _read_heads(self, conversation_ids: Collection[ObjectId], fields: Document) -> list[Document]:
        return await find_by_ids(self._collection, conversation_ids, {"last": 1, "last_rev": 1, "version": 1, **fields})

    async def apply_counters(self, updates: dict[ObjectId, CounterUpdate]) -> None:
        """Raise counters and read marks as `updates` say, in one write; none is ever lowered.

        The update comes late, so a sender may have left since: former participants and deleted users get no read mark.
        That is rare, and costs a second write. Raises Unavailable or BulkWriteError.
        """
        async with unavailable():
            result = await self._collection.bulk_write(
                [_counter_update(conversation_id, update, update.reads) for conversation_id, update in updates.items()],
                ordered=False,
            )
            if result.matched_count == len(updates):
                return
            # Some readers are no participants any more: counters alone, then each read mark alone.
            split = []
            for conversation_id, update in updates.items():
                split.append(_counter_update(conversation_id, update, {}))
                split += [
                    _counter_update(conversation_id, update, {reader: seq}) for reader, seq in update.reads.items()
                ]
            await self._collection.bulk_write(split, ordered=False)

    async def unannounced(self, before: datetime, limit: int) -> list[ObjectId]:
        """Return at most `limit` conversations with changes older than `before` that are marked as unannounced."""
        async with unavailable():
            found = await self._collection.find({UNANNOUNCED: {"$lt": before}}, {"_id": 1}).to_list(limit)
        return [document["_id"] for document in found]

    async def clear_unannounced(self, versions: Mapping[ObjectId, int]) -> None:
        """Remove the marks of these conversations, unless they have changed since that version. Raises Unavailable."""
        marks = {UNANNOUNCED: "", UNANNOUNCED_REMOVALS: ""}
        await update_all(
            self._collection,
            [UpdateOne({"_id": key, "version": version}, {"$unset": marks}) for key, version in versions.items()],
        )

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
            "last_deleted": 0,
            "reads": {},
            "version": 0,
            UNANNOUNCED: moment,
        }


def _counter_update(conversation_id: ObjectId, update: CounterUpdate, reads: dict[str, int]) -> UpdateOne:
    """Raise the counters to those of `update`, and the read marks to `reads`, if all these readers may have one."""
    maxima: Document = {"last_rev": update.rev}
    if update.last_deleted:
        maxima["last_deleted"] = update.last_deleted
    if update.message_id:
        # Documents compare field by field, so the greater seq decides.
        maxima |= {"last": {"seq": update.seq, "id": update.message_id}, "last_activity": update.at}
        maxima |= {f"reads.{reader}": seq for reader, seq in reads.items()}
    where: Document = {"_id": conversation_id}
    if reads:
        readers = [ObjectId(reader) for reader in reads]
        where |= {"participants": {"$all": readers}, "erased": {"$nin": readers}}
    return UpdateOne(where, {"$max": maxima})


def _group_by_user(
    found: Sequence[Document], user_ids: Collection[ObjectId], limit: int
) -> dict[ObjectId, list[Document]]:
    grouped: dict[ObjectId, list[Document]] = {user_id: [] for user_id in user_ids}
    for document in sorted(found, key=activity_of, reverse=True):
        for user_id in grouped.keys() & document["participants"]:
            if len(grouped[user_id]) < limit:
                grouped[user_id].append(document)
    return grouped


def activity_of(conversation: Document) -> tuple[datetime, ObjectId]:
    """Return the sort key of a user's list of conversations, in which the greatest comes first."""
    return conversation["last_activity"], conversation["_id"]


def is_listed(conversation: Document, user_id: ObjectId) -> bool:
    """Return whether the conversation is in the user's list: nobody has to see what others have opened and not used."""
    return conversation["kind"] != "direct" or seq_of(conversation) > 0 or conversation["owner_id"] == user_id


def seq_of(conversation: Document) -> int:
    seq: int = conversation["last"]["seq"]
    return seq


def version_of(conversation: Document) -> int:
    """Return how often the title or participants have changed: events about them are delivered in this order."""
    version: int = conversation.get("version", 0)
    return version
