"""Which conversations users are in: pages of one user's list, and what is read for several at once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING

from service.chat.direct_conversations import DirectConversations
from service.chat.large_groups import LargeGroups, add_own
from service.chat.membership_store import MembershipStore
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document, unavailable

MAX_SHARED_READ = 2000
"""Conversations read at once for several users. If they have more, each user's are read alone, limited by the
database."""
MAX_LAST_ROWS = 10_000
"""Pages of which a process remembers the last row: some megabytes."""
SHARED_READ = 10
"""Groups in one read of `sharing`, each with its participants."""


class ConversationLists:
    """Finds the conversations of users: those whose documents list the participants by an index, and the large groups
    by MembershipStore. All methods raise Unavailable."""

    def __init__(
        self,
        conversations: MongoCollection,
        memberships: MembershipStore,
        large: LargeGroups,
        direct: DirectConversations,
    ) -> None:
        self._collection = conversations
        self._memberships = memberships
        self._large = large
        self._direct = direct
        self._last_rows: dict[tuple[ObjectId, int], datetime] = {}
        """By user and length: the last activity of the last conversation of a page."""

    async def page(
        self,
        user_id: ObjectId,
        limit: int,
        before: tuple[datetime, ObjectId] | None = None,
    ) -> list[Document]:
        """Return the `limit` most recently active conversations of `user_id`, or of those behind the sort key `before`.

        The sort key is that of `activity_of`. Raises Unavailable.
        """
        return await self._page(user_id, limit, before)

    async def counters(
        self,
        user_id: ObjectId,
        limit: int,
        before: tuple[datetime, ObjectId] | None = None,
        since: datetime | None = None,
    ) -> list[Document]:
        """Like `page`, with nothing but the counters and the user's start. With `since` instead of `before`: those that
        have been active then or later. Raises Unavailable."""
        fields: Document = dict.fromkeys(("last", "last_rev", "last_activity", "participant_count"), 1)
        return await self._page(user_id, limit, before, since, fields | {f"starts.{user_id}": 1})

    async def _page(
        self,
        user_id: ObjectId,
        limit: int,
        before: tuple[datetime, ObjectId] | None,
        since: datetime | None = None,
        fields: Document | None = None,
    ) -> list[Document]:
        found = await self._page_of_listed(user_id, limit, before, fields, since)
        # A message in a large group does not rewrite an index entry for each participant: they are sorted here.
        memberships = await self._memberships.of_user(user_id)
        if not memberships:
            return found
        keys = await find_by_ids(
            self._collection, {each["conversation_id"] for each in memberships}, {"last_activity": 1}
        )
        places = sorted((activity_of(key) for key in keys), reverse=True)
        wanted = [
            place[1] for place in places if (before is None or place < before) and (since is None or place[0] >= since)
        ]
        # By id: a group may have become a large one since the first read.
        rows = {document["_id"]: document for document in found}
        for key, document in (await self._large.read(wanted[:limit], fields)).items():
            seen = await self._large.seen_by(user_id, document)
            if seen is None:
                # Removed meanwhile: another one belongs in its place.
                return await self._page(user_id, limit, before, since, fields)
            rows[key] = seen
        return sorted(rows.values(), key=activity_of, reverse=True)[:limit]

    async def _page_of_listed(
        self,
        user_id: ObjectId,
        limit: int,
        before: tuple[datetime, ObjectId] | None,
        fields: dict[str, Any] | None = None,
        since: datetime | None = None,
    ) -> list[Document]:
        """Like `_page`, of the conversations whose documents list the participants."""
        if before is None and since is None:
            return await self._first_page(user_id, limit, fields)
        if before is None:
            active = {"participants": user_id, "last_activity": {"$gte": since}}
            return await self._most_recent(active, limit, fields)
        moment, conversation_id = before
        # Any number of conversations may have their last activity in the same millisecond: those are read first. One
        # read with an `$or` would be of all conversations before these, too, on the embedded server.
        same_moment = {"participants": user_id, "last_activity": moment, "_id": {"$lt": conversation_id}}
        found = await self._most_recent(same_moment, limit, fields)
        if len(found) < limit:
            earlier = {"participants": user_id, "last_activity": {"$lt": moment}}
            found += await self._most_recent(earlier, limit - len(found), fields)
        return found

    async def _first_page(self, user_id: ObjectId, limit: int, fields: Document | None) -> list[Document]:
        """Return the `limit` most recently active ones.

        If at least `limit` have been active since a moment, these are among them, whatever has changed meanwhile: the
        last row of the page before is such a moment, unless the user has left one. Not every database with MongoDB's
        protocol stops at the limit of a sort.
        """
        place = user_id, limit
        if since := self._last_rows.get(place):
            active = {"participants": user_id, "last_activity": {"$gte": since}}
            found = await self._most_recent(active, limit, fields)
        if not since or len(found) < limit:
            found = await self._most_recent({"participants": user_id}, limit, fields)
        if len(self._last_rows) > MAX_LAST_ROWS:
            self._last_rows.clear()
        if len(found) == limit:
            self._last_rows[place] = found[-1]["last_activity"]
        else:
            self._last_rows.pop(place, None)
        return found

    async def _most_recent(self, where: Document, limit: int, fields: dict[str, Any] | None) -> list[Document]:
        order = [("last_activity", DESCENDING), ("_id", DESCENDING)]
        async with unavailable():
            cursor = self._collection.find(where, fields, batch_size=limit).sort(order).limit(limit)
            found: list[Document] = await cursor.to_list(limit)
        return found

    async def recent(self, user_ids: Collection[ObjectId], limit: int) -> dict[ObjectId, list[Document]]:
        """Return the counters of each user's `limit` most recently active conversations; with one read if they are not
        too many (MAX_SHARED_READ). With it, or if a group is a large one, they tell the `size_of` the conversation."""
        fields: Document = {"last": 1, "last_rev": 1, "last_activity": 1}
        listed = fields | {f"{name}.{user_id}": 1 for user_id in user_ids for name in ("reads", "starts")}
        grouped = await self._recent_listed(user_ids, limit, listed)
        memberships = await self._memberships.of_users(user_ids)
        if memberships:
            counted = fields | {"participant_count": 1}
            large = await self._large.read({each["conversation_id"] for each in memberships}, counted)
            # By id: a group may have become a large one since the first read.
            rows = {user_id: {each["_id"]: each for each in documents} for user_id, documents in grouped.items()}
            # Read again: what the documents say may be newer than a removal.
            for membership in await self._memberships.of_users(user_ids):
                document = large.get(membership["conversation_id"])
                if document is not None:
                    add_own(document, membership)
                    rows[membership["user_id"]][document["_id"]] = document
            for user_id, documents in rows.items():
                grouped[user_id] = sorted(documents.values(), key=activity_of, reverse=True)[:limit]
        return grouped

    async def _recent_listed(
        self, user_ids: Collection[ObjectId], limit: int, fields: Document
    ) -> dict[ObjectId, list[Document]]:
        """Like `recent`, of the conversations whose documents list the participants."""
        if len(user_ids) > 1:
            async with unavailable():
                cursor = self._collection.find({"participants": {"$in": list(user_ids)}}, fields | {"participants": 1})
                found: list[Document] = await cursor.limit(MAX_SHARED_READ + 1).to_list(None)
            if len(found) <= MAX_SHARED_READ:
                return _group_by_user(found, user_ids, limit)
        pages = {user_id: await self._page_of_listed(user_id, limit, None, fields) for user_id in user_ids}
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
        memberships = await self._memberships.of_users(user_ids)
        ids = {membership["conversation_id"] for membership in memberships}
        large = await find_by_ids(self._collection, ids, {"last_rev": 1}, {"participant_count": {"$gt": size}})
        revs = {document["_id"]: document["last_rev"] for document in large}
        for membership in memberships:
            if (key := membership["conversation_id"]) in revs:
                found[membership["user_id"]][key] = revs[key]
        return found

    async def sharing(self, user_id: str, others: Collection[str]) -> set[str]:
        """Return those of `others` who share a conversation with `user_id`. Raises Unavailable."""
        wanted = {ObjectId(other): other for other in others}
        user, found = ObjectId(user_id), set[ObjectId]()
        direct = await self._direct.ids(user, wanted)
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
        if absent := wanted.keys() - found:
            own = {membership["conversation_id"] for membership in await self._memberships.of_users([user])}
            others_too = await self._memberships.of_users(absent) if own else []
            found.update(each["user_id"] for each in others_too if each["conversation_id"] in own)
        return {wanted[other] for other in wanted.keys() & found}

    async def groups_of(self, user_id: ObjectId, limit: int) -> list[ObjectId]:
        """Return at most `limit` groups in which `user_id` is a participant. Raises Unavailable."""
        async with unavailable():
            found = await self._collection.find({"participants": user_id, "kind": "group"}, {"_id": 1}).to_list(limit)
        large = [membership["conversation_id"] for membership in await self._memberships.of_users([user_id])]
        return [*(document["_id"] for document in found), *large][:limit]

    async def with_read_marks(self, user_id: ObjectId, limit: int) -> list[ObjectId]:
        """Return at most `limit` conversations in which `user_id` is a participant and has a read mark."""
        marked = {"participants": user_id, f"reads.{user_id}": {"$exists": True}}
        async with unavailable():
            found = await self._collection.find(marked, {"_id": 1}).to_list(limit)
        return [document["_id"] for document in found]


def _group_by_user(
    found: Sequence[Document], user_ids: Collection[ObjectId], limit: int
) -> dict[ObjectId, list[Document]]:
    grouped: dict[ObjectId, list[Document]] = {user_id: [] for user_id in user_ids}
    for document in sorted(found, key=activity_of, reverse=True):
        for user_id in grouped.keys() & document["participants"]:
            if len(grouped[user_id]) < limit:
                grouped[user_id].append(document)
    return grouped


def size_of(conversation: Document) -> int | None:
    """Return the number of participants; None if what was read does not tell it."""
    if "participant_count" in conversation:
        return int(conversation["participant_count"])
    return len(conversation["participants"]) if "participants" in conversation else None


def activity_of(conversation: Document) -> tuple[datetime, ObjectId]:
    """Return the sort key of a user's list of conversations, in which the greatest comes first."""
    return conversation["last_activity"], conversation["_id"]
