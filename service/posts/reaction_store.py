"""The store of reactions to posts and comments: who has reacted, and how many have."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from service.common.errors import Unavailable
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.find_by_ids import IDS_PER_READ, find_by_ids, find_in_lists
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Database, Document, only_duplicates, unavailable, update_all
from service.datastores.scan import scan
from service.posts.pending import PENDING
from service.posts.reaction_state import Change, Subject, SubjectState, Write, bucket_id

MAX_ATTEMPTS = 50
"""Attempts to store changes while other processes change the same documents: of several, each time one succeeds."""
CONTENDED = "Too many processes are storing reactions here at once."
TOTALS, TOTALS_VERSION = "reactions", "reactions_version"
"""The fields of a post or comment with the number of each reaction, and with how often that was set."""

Totals = Mapping[str, int]
Stored = Mapping[ObjectId, tuple[Totals, int]]
"""By the id of the post or comment: its totals and their version."""


class Reacted(NamedTuple):
    """What there is after a change: the number of each reaction, and the user's own.

    `changed`: something has changed, and a document is marked. `is_first`: the user had never reacted to this before.
    """

    totals: Totals
    own: Sequence[str]
    changed: bool
    is_first: bool


class ReactionStore:
    """`reactions`: `{_id, subject_id, post_id, comment_id, version, users: {user_id: [emoji]}, counts: {emoji: n},
    owed?: [user_id]}`.

    The users who have reacted to one subject are spread over up to BUCKETS documents, whose `_id` is derived. A user
    stays in theirs, also without a reaction: the author is notified of each user once. `counts` belongs to `users` and
    is changed with it, so it is exact. A process that has changed one stores the sum of all with the post or comment:
    only if nobody else has stored a sum since the reads for it began, so the last one includes every change before.
    `owed` marks a document as pending: the author may not have been notified of these users, and the sum may be old.
    """

    def __init__(self, database: Database) -> None:
        self._reactions: MongoCollection = database["reactions"]
        self._posts: MongoCollection = database["posts"]
        self._comments: MongoCollection = database["comments"]
        """Of the last two, only the totals are read and written here; see PostStore, CommentStore."""
        self._changes: Batcher[Change, Reacted] = Batcher(self._apply, timeout=BATCH_TIMEOUT)

    async def create_indexes(self) -> None:
        await self._reactions.create_index("subject_id")
        await self._reactions.create_index(
            [(PENDING, 1), ("_id", 1)], partialFilterExpression={PENDING: {"$exists": True}}
        )

    async def close(self) -> None:
        await self._changes.close()

    def change(self, change: Change) -> "asyncio.Future[Reacted]":
        """Make a change; changes that arrive meanwhile are made together. Idempotent.

        Raises Unavailable, at once or from the future, which also raises ValidationFailed (`emoji`) if there are
        MAX_EMOJIS others or MAX_REACTIONS. Processes that add different ones at the same time may exceed that.
        """
        return self._changes.submit(change)

    async def own(self, user_id: str, subject_ids: Iterable[ObjectId]) -> dict[ObjectId, list[str]]:
        """Return the user's reactions to those of the subjects that they have reacted to. A page of them takes one
        read. Raises Unavailable."""
        places = [(subject_id, bucket_id(subject_id, ObjectId(user_id))) for subject_id in subject_ids]
        if not places:
            return {}
        found = await find_in_lists(self._reactions, "subject_id", places, {f"users.{user_id}": True})
        return {document["subject_id"]: document.get("users", {}).get(user_id, []) for document in found}

    async def pending(self, after: ObjectId | None, limit: int) -> list[Document]:
        """Return the `limit` pending documents with the lowest ids above `after`. Raises Unavailable."""
        where: Document = {PENDING: {"$exists": True}} | ({"_id": {"$gt": after}} if after else {})
        async with unavailable():
            found: list[Document] = await self._reactions.find(where).sort("_id", 1).limit(limit).to_list(limit)
        return found

    async def clear_pending(self, notified: Sequence[tuple[Subject, ObjectId, Collection[str]]]) -> None:
        """Remove users from the marks of documents, each given with its subject and id; then marks that are empty, if
        no document of the subject has changed since the sum was stored, which this does first. Raises Unavailable."""
        states = await self._sum_up({subject for subject, _, _ in notified})
        updates = []
        for subject, id, user_ids in notified:
            place = {"_id": id, "subject_id": subject.id}
            updates.append(UpdateOne(place, {"$pull": {PENDING: {"$in": list(user_ids)}}}))
            if version := states[subject].versions.get(id):
                updates.append(UpdateOne(place | {PENDING: [], "version": version}, {"$unset": {PENDING: ""}}))
        async with unavailable():
            await self._reactions.bulk_write(updates, ordered=True)

    async def reacted_by(self, user_id: str) -> AsyncIterator[list[tuple[Subject, list[str]]]]:
        """Yield what the user has ever reacted to, in batches, with their reactions. Raises Unavailable."""
        field = f"users.{user_id}"
        fields = {"post_id": True, "comment_id": True, field: True}
        async for batch in scan(self._reactions, {field: {"$exists": True}}, fields):
            yield [(subject_of(document), document["users"][user_id]) for document in batch]

    async def erase(self, user_id: str) -> None:
        """Remove a user's reactions, and that they ever reacted. Can be repeated. Raises Unavailable."""
        user, field = ObjectId(user_id), f"users.{user_id}"
        async for batch in self.reacted_by(user_id):
            removals = [Change(subject, user, emoji, False) for subject, emojis in batch for emoji in emojis]
            await asyncio.gather(*map(self.change, removals))
            places = [{"_id": bucket_id(subject.id, user), "subject_id": subject.id} for subject, _ in batch]
            gone = {"$unset": {field: ""}, "$pull": {PENDING: user_id}}
            await update_all(self._reactions, [UpdateOne({**place, field: []}, gone) for place in places])

    async def delete(self, subject_ids: Collection[ObjectId]) -> None:
        """Delete all reactions to these subjects, at least one, which are being deleted. Raises Unavailable."""
        async with unavailable():
            await self._reactions.delete_many({"subject_id": {"$in": list(subject_ids)}})

    async def _apply(self, changes: Sequence[Change]) -> list[Reacted | Exception]:
        subjects, users = {change.subject for change in changes}, {str(change.user_id) for change in changes}
        changed: set[tuple[Subject, str]] = set()
        firsts: set[tuple[Subject, str]] = set()
        """Those whose reactions have changed, and those who had never reacted, also if a write had to be repeated."""
        for _ in range(MAX_ATTEMPTS):
            stored = await self._stored(subjects)
            states = await self._states(subjects, users)
            refused = [states[change.subject].make(change) for change in changes]
            changed |= {(subject, user_id) for subject, state in states.items() for user_id in state.changed_users}
            firsts |= {(subject, user_id) for subject, state in states.items() for user_id in state.new_users}
            writes = [write for state in states.values() for write in state.writes()]
            if await self._write(writes) and await self._store_totals(states, stored):
                totals = {subject: dict(state.totals) for subject, state in states.items()}
                reactors = [(change.subject, str(change.user_id)) for change in changes]
                return [
                    error or Reacted(totals[each[0]], states[each[0]].own(each[1]), each in changed, each in firsts)
                    for each, error in zip(reactors, refused, strict=True)
                ]
        raise Unavailable(CONTENDED)

    async def _sum_up(self, subjects: Collection[Subject]) -> dict[Subject, SubjectState]:
        """Store the totals of the subjects, and return what they are the totals of."""
        for _ in range(MAX_ATTEMPTS):
            stored = await self._stored(subjects)
            states = await self._states(subjects, ())
            if await self._store_totals(states, stored):
                return states
        raise Unavailable(CONTENDED)

    async def _states(self, subjects: Collection[Subject], users: Iterable[str]) -> dict[Subject, SubjectState]:
        fields = {"subject_id": True, "version": True, "counts": True} | {f"users.{user}": True for user in users}
        ids = [subject.id for subject in subjects]
        parts = [ids[first : first + IDS_PER_READ] for first in range(0, len(ids), IDS_PER_READ)]
        async with unavailable():
            found = await asyncio.gather(
                *[self._reactions.find({"subject_id": {"$in": part}}, fields).to_list(None) for part in parts]
            )
        documents: dict[ObjectId, list[Document]] = {}
        for part in found:
            for document in part:
                documents.setdefault(document["subject_id"], []).append(document)
        return {subject: SubjectState(subject, documents.get(subject.id, ())) for subject in subjects}

    async def _write(self, writes: Sequence[Write]) -> bool:
        """Return whether all of them were made: no other process has changed one of the documents first."""
        if not writes:
            return True
        try:
            async with unavailable():
                result = await self._reactions.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise Unavailable("The database cannot do this just now.") from error
            return False
        return result.matched_count + result.inserted_count == len(writes)

    async def _stored(self, subjects: Collection[Subject]) -> Stored:
        """Return the totals that are stored with those of the subjects that exist."""
        fields = {TOTALS: True, TOTALS_VERSION: True}
        posts = [subject.id for subject in subjects if not subject.comment_id]
        comments = [(subject.post_id, subject.id) for subject in subjects if subject.comment_id]
        found = await asyncio.gather(
            find_by_ids(self._posts, posts, fields), find_in_lists(self._comments, "post_id", comments, fields)
        )
        return {
            document["_id"]: (document.get(TOTALS, {}), document.get(TOTALS_VERSION, 0))
            for documents in found
            for document in documents
        }

    async def _store_totals(self, states: Mapping[Subject, SubjectState], stored: Stored) -> bool:
        """Return whether the totals are stored: no other process has stored some since `stored` was read."""
        updates: dict[bool, list[UpdateOne]] = {True: [], False: []}
        for subject, state in states.items():
            totals, version = stored.get(subject.id, (state.totals, 0))
            if totals != state.totals:
                place = {"_id": subject.id} | ({"post_id": subject.post_id} if subject.comment_id else {})
                unchanged = {TOTALS_VERSION: version or None}
                change = {"$set": {TOTALS: dict(state.totals), TOTALS_VERSION: version + 1}}
                updates[subject.comment_id is None].append(UpdateOne(place | unchanged, change))
        matched = 0
        async with unavailable():
            for is_post, some in updates.items():
                if some:
                    collection = self._posts if is_post else self._comments
                    matched += (await collection.bulk_write(some, ordered=False)).matched_count
        return matched == sum(map(len, updates.values()))


def subject_of(document: Document) -> Subject:
    """Return what the reactions of a stored document are to."""
    return Subject(document["post_id"], document["comment_id"])
