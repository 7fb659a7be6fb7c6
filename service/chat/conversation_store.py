"""The store of conversations: participants, read marks, and counters of messages."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from bson import ObjectId
from pymongo import DESCENDING, IndexModel, UpdateOne

from service.chat import large_groups
from service.chat.barrier import BARRIER
from service.chat.conversation_head import ConversationHead, HeadVersion
from service.chat.conversation_lists import ConversationLists
from service.chat.counter_update import CounterUpdate
from service.chat.direct_conversations import DirectConversations
from service.chat.group_change import CLEARINGS, UNANNOUNCED, UNANNOUNCED_REMOVALS, versioned
from service.chat.group_store import GroupStore
from service.chat.large_groups import CHANGE, FIRST
from service.chat.large_heads import LargeHeads
from service.chat.members import (
    LARGE,
    History,
    is_large,
    joining_times,
    read_of,
    start_of,
)
from service.chat.membership_store import MembershipStore
from service.chat.participant_reads import COUNTERS, ParticipantReads
from service.common.errors import NotFound
from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all
from service.datastores.update_and_find import update_and_find


class Participant(NamedTuple):
    """A participant of a conversation; `place` is theirs in the order of joining."""

    user_id: ObjectId
    place: int
    joined_at: datetime
    last_read_seq: int


class ConversationStore:
    """`conversations`: one document each.

    The counters `last` ({seq, id}), `last_rev`, `last_activity`, `last_deleted` (the seq of the last message that is
    never unread: a deleted or a system message) and `last_mention` (of the last one that mentions anybody) are hints:
    they lag a moment behind the stored and published messages (see WriteBehind) and are never too high. They say where
    to start looking for the last number; CounterReader brings them up to date before they are shown. `reads` maps a
    user id to the seq that user has read up to. `participants` is in the order of joining.
    `joined` has the times at which users were added ({at, users}), and `starts` the seq after which they see the
    messages, unless they see all; `history` says which of the two is for those who join from now on. `owner_id` and
    `admins`: see GroupStore. `version` increases with each change of participants, roles, title or history, and
    `changed_at` is the time of that.
    `erased` lists the deleted users of a direct conversation: they remain participants, but get no read marks.
    `blocked_by` and `barrier` of a direct conversation: see DirectBlocks.
    `unannounced`, `unannounced_removals` and `pending_messages` are written together with a change of title or
    participants, and removed once it is published (see ConversationAnnouncer).

    Of a large group, `reads`, `joined` and `starts` are in MembershipStore, and so are the participants; a document
    that is read for a user has the first of them, and the user's own `reads` and `starts` (see LargeGroups).
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["conversations"]
        self.direct = DirectConversations(database)
        self._memberships = MembershipStore(database)
        self.groups = GroupStore(self._collection, self._memberships)
        self._large = self.groups.large
        self.lists = ConversationLists(self._collection, self._memberships, self._large, self.direct)
        self._large_heads = LargeHeads(self._large, self._memberships)
        self._reads = ParticipantReads(self._collection)

    async def create_indexes(self) -> None:
        await self._collection.create_indexes(
            [
                IndexModel([("participants", 1), ("last_activity", DESCENDING), ("_id", DESCENDING)]),
                IndexModel([(UNANNOUNCED, 1)], sparse=True),
                IndexModel([("former.user", 1)], sparse=True),
            ]
        )
        await self._memberships.create_indexes()

    async def create_direct(self, one: ObjectId, other: ObjectId, *, checked: bool = True) -> tuple[Document, bool]:
        """Return the direct conversation of two users, and whether this call created it. Raises Unavailable.

        Unless `checked`, nobody can send in a new one before DirectBlocks has looked up the blocks of the two.
        """
        document = self._blank("direct", None, [one, other])
        return await self.direct.insert(document if checked else document | {BARRIER: ObjectId()}, one, other)

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
        if len(document["participants"]) > large_groups.MAX_EMBEDDED:
            return await self._large.create(document)
        async with unavailable():
            await self._collection.insert_one(document)
        return document

    async def get(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Return the conversation. Raises NotFound unless `user_id` is a participant of it; Unavailable."""
        async with unavailable():
            found: Document | None = await self._collection.find_one({"_id": conversation_id, "participants": user_id})
            if found is None:
                found = await self._collection.find_one({"_id": conversation_id, LARGE: True})
        seen = await self._large.seen_by(user_id, found) if found is not None else None
        if seen is None:
            raise NotFound
        return seen

    async def counters(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Return what `get_many` returns of one conversation. Raises NotFound, Unavailable."""
        found = await self._reads.get(conversation_id, user_id)
        if found is None:
            found = (await self._large.read_for(user_id, [conversation_id], COUNTERS)).get(conversation_id)
        if found is None:
            raise NotFound
        return found

    async def complete(self, document: Document) -> Document:
        """Return a conversation with all participants, their read marks and starts. Raises Unavailable."""
        return await self._large.complete(document) if is_large(document) else document

    async def find(self, conversation_id: ObjectId) -> Document | None:
        """Return the conversation, or None, without checking a participant. Raises Unavailable."""
        async with unavailable():
            found: Document | None = await self._collection.find_one({"_id": conversation_id})
        return await self._large.settled(found) if found is not None else None

    async def check_participant(self, conversation_id: ObjectId, user_id: ObjectId) -> int:
        """Return the seq after which the participant `user_id` sees the messages (see `members.start_of`).

        Raises NotFound if they are not a participant, or not any more; Unavailable.

        For readers: what they have read was stored before this call, and the user may see it only as a participant. If
        they have left and joined again meanwhile, they see less of it.
        """
        found = await self._reads.get(conversation_id, user_id)
        if found is not None:
            return start_of(found, user_id)
        start: int = (await self._membership(conversation_id, user_id)).get("start", 0)
        return start

    async def _membership(self, conversation_id: ObjectId, user_id: ObjectId) -> Document:
        """Return the membership of a participant of a large group. Raises NotFound, Unavailable."""
        found = await self._memberships.find(conversation_id, user_id)
        if found is None:
            async with unavailable():
                changing = await self._collection.find_one({"_id": conversation_id, CHANGE: {"$exists": True}})
            if changing is not None:
                await self._large.settled(changing)
                found = await self._memberships.find(conversation_id, user_id)
        if found is None:
            raise NotFound
        return found

    async def participants(
        self, document: Document, after: tuple[int, ObjectId] | None, limit: int
    ) -> tuple[list[Participant], bool]:
        """Return at most `limit` participants behind `after`, in the order of joining, and whether there are more.

        `after`: the place and id of a participant; None for the first page. If they have left since, the place says
        where they were. Raises Unavailable.
        """
        if is_large(document):
            first = after[0] + 1 if after else 0
            found = await self._memberships.page(document["_id"], first, document["next_place"], limit + 1)
            rows = [
                Participant(each["user_id"], each["place"], each["joined_at"], _last_read(document, each))
                for each in found[:limit]
            ]
            return rows, len(found) > limit
        members: list[ObjectId] = document["participants"]
        first = 0
        if after is not None:
            place, member = after
            first = members.index(member) + 1 if member in members else place
        times = joining_times(document)
        page = list(enumerate(members))[first : first + limit]
        return [
            Participant(member, place, times[member], read_of(document, member)) for place, member in page
        ], first + limit < len(members)

    async def get_many(
        self, conversation_ids: Collection[ObjectId], user_id: ObjectId, *, whole: bool = False
    ) -> dict[ObjectId, Document]:
        """Return those conversations in which `user_id` is a participant: the counters, the version, and what `members`
        says of the user's read mark and history; or the `whole` documents."""
        fields: Document | None = None
        if whole:
            found = await find_by_ids(self._collection, conversation_ids, None, {"participants": user_id})
        else:
            fields = {**COUNTERS, f"reads.{user_id}": 1, f"starts.{user_id}": 1}
            # Not a condition: with one, a database may look for all conversations of the user.
            listed = {"participants": {"$elemMatch": {"$eq": user_id}}}
            found = await find_by_ids(self._collection, conversation_ids, fields | listed)
            found = [document for document in found if document.pop("participants", None)]
        documents = {document["_id"]: document for document in found}
        if missing := set(conversation_ids) - documents.keys():
            documents |= await self._large.read_for(user_id, missing, fields)
        return documents

    async def mark_read(self, conversation_id: ObjectId, user_id: ObjectId, seq: int) -> bool:
        """Raise the read mark of `user_id` to `seq`. Returns whether that changed it. Raises NotFound, Unavailable."""
        async with unavailable():
            result = await self._collection.update_one(
                {"_id": conversation_id, "participants": user_id, "erased": {"$ne": user_id}},
                {"$max": {f"reads.{user_id}": seq}},
            )
        if result.matched_count:
            return bool(result.modified_count)
        await self._membership(conversation_id, user_id)
        changed = await self._memberships.mark_read(conversation_id, user_id, seq)
        if changed is None:
            raise NotFound
        return changed

    async def clear_history(self, conversation_id: ObjectId, user_id: ObjectId, seq: int) -> None:
        """Let the participant `user_id` see the messages after `seq` only. Raises NotFound, Unavailable.

        It is the next version of the conversation, which MessageAppend compares before a change: changes of earlier
        messages are not sent to them any more. It changes no participants (CLEARINGS), so the processes go on agreeing
        about who the recipients of a message are, although some learn of it later than others.
        """
        where = {"_id": conversation_id, "participants": user_id}
        change = versioned({"$max": {f"starts.{user_id}": seq}, "$inc": {CLEARINGS: 1}})
        if await update_and_find(self._collection, where, change) is None:
            changed = await self.groups.large_changes.clear_history(conversation_id, user_id, seq)
            if changed is None:
                raise NotFound

    async def erase_read_marks(self, conversation_ids: Collection[ObjectId], user_id: ObjectId) -> None:
        """Remove the read marks of a user who is being deleted, and prevent new ones. Raises Unavailable."""
        selected = {"_id": {"$in": list(conversation_ids)}}
        async with unavailable():
            # `erased` first: otherwise a read mark could be written between the two updates.
            await self._collection.update_many(selected | {"kind": "direct"}, {"$addToSet": {"erased": user_id}})
            await self._collection.update_many(selected, {"$unset": {f"reads.{user_id}": 1}})

    async def heads(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, ConversationHead]:
        """Return the heads of those conversations that exist. Raises Unavailable."""
        fields = {"participants": 1, "starts": 1, BARRIER: 1, LARGE: 1, CHANGE: 1, FIRST: 1, CLEARINGS: 1}
        heads: dict[ObjectId, ConversationHead] = {}
        for document in await self._read_heads(conversation_ids, fields):
            key = document["_id"]
            if is_large(document):
                heads[key] = await self._large_heads.read(document)
            else:
                heads[key] = ConversationHead.of(document)
        return heads

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
        large = {key: update.reads for key, update in updates.items() if key in self._large_heads}
        # First: a reader looks for the marks of senders only in messages that are not counted yet.
        await self._memberships.raise_reads(large)
        async with unavailable():
            result = await self._collection.bulk_write(
                [update.as_write(key, {} if key in large else update.reads) for key, update in updates.items()],
                ordered=False,
            )
            if result.matched_count == len(updates):
                return
            # Some readers are no participants any more, or it is a large group: counters alone, then each read mark
            # alone.
            unmatched = {key: update for key, update in updates.items() if key not in large}
            await self._memberships.raise_reads({key: update.reads for key, update in unmatched.items()})
            split = []
            for key, update in unmatched.items():
                split.append(update.as_write(key, {}))
                split += [update.as_write(key, {reader: seq}) for reader, seq in update.reads.items()]
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


def _last_read(document: Document, membership: Document) -> int:
    # What CounterReader has found in messages that are not counted yet is with the document.
    own: int = max(membership.get("read", 0), membership.get("start", 0))
    return max(own, read_of(document, membership["user_id"]))


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
