"""The reactions to one post or comment while changes are made to them."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bson import ObjectId
from pymongo import InsertOne, UpdateOne

from service.common.emoji import MAX_EMOJIS
from service.common.errors import ValidationFailed
from service.datastores.mongo import Document
from service.posts.pending import PENDING

BUCKETS = 32
"""Documents over which the users who have reacted to one post or comment are spread: 20 KB each if they are 10,000."""
MAX_REACTIONS = 100_000
"""Reactions to one post or comment: 200 KB in each of its documents."""

Write = InsertOne[Document] | UpdateOne


class Subject(NamedTuple):
    """What people react to: a post, or one of its comments."""

    post_id: ObjectId
    comment_id: ObjectId | None = None

    @property
    def id(self) -> ObjectId:
        return self.comment_id or self.post_id


class Change(NamedTuple):
    """A user adds (`on`) or removes a reaction. `emoji` is fully qualified."""

    subject: Subject
    user_id: ObjectId
    emoji: str
    on: bool


class SubjectState:
    """What is stored of one subject, as far as a few users are concerned, and what becomes of it."""

    def __init__(self, subject: Subject, documents: Iterable[Document]) -> None:
        self._subject = subject
        self._stored = {document["_id"]: document for document in documents}
        self._users: dict[str, list[str]] = {}
        self._counts: dict[ObjectId, Counter[str]] = {}
        self.totals: Counter[str] = Counter()
        for bucket_id, document in self._stored.items():
            self._users |= document.get("users", {})
            self._counts[bucket_id] = Counter(document["counts"])
            self.totals += self._counts[bucket_id]
        self.new_users: set[str] = set()
        """Those who had never reacted to the subject before."""
        self._changed: dict[ObjectId, set[str]] = {}

    @property
    def versions(self) -> dict[ObjectId, int]:
        """The stored version of each document."""
        return {bucket: document["version"] for bucket, document in self._stored.items()}

    @property
    def changed_users(self) -> set[str]:
        """Those whose reactions the changes have touched."""
        return {user_id for users in self._changed.values() for user_id in users}

    def own(self, user_id: str) -> list[str]:
        """Return the reactions of a user."""
        return self._users.get(user_id, [])

    def make(self, change: Change) -> ValidationFailed | None:
        """Make a change. Returns why it is refused, or None; it may change nothing."""
        user_id, emoji = str(change.user_id), change.emoji
        own = self.own(user_id)
        if (emoji in own) is change.on:
            return None
        if change.on and emoji not in self.totals and len(self.totals) >= MAX_EMOJIS:
            return ValidationFailed.of("emoji", f"There are at most {MAX_EMOJIS} different reactions.")
        if change.on and self.totals.total() >= MAX_REACTIONS:
            return ValidationFailed.of("emoji", f"There are at most {MAX_REACTIONS} reactions.")
        if user_id not in self._users:
            self.new_users.add(user_id)
        self._users[user_id] = [*own, emoji] if change.on else [each for each in own if each != emoji]
        bucket = bucket_id(change.subject.id, change.user_id)
        delta = Counter({emoji: 1 if change.on else -1})
        for counts in (self.totals, self._counts.setdefault(bucket, Counter())):
            counts.update(delta)
            if not counts[emoji]:
                del counts[emoji]
        self._changed.setdefault(bucket, set()).add(user_id)
        return None

    def writes(self) -> Sequence[Write]:
        """Return what stores the changes. A write of a document that somebody else has changed meanwhile fails."""
        return [self._write(bucket, users) for bucket, users in self._changed.items()]

    def _write(self, bucket: ObjectId, changed: set[str]) -> Write:
        users = {user_id: self._users[user_id] for user_id in changed}
        counts = dict(self._counts[bucket])
        place = {"_id": bucket, "subject_id": self._subject.id}
        new_users = sorted(changed & self.new_users)
        if bucket not in self._stored:
            ids = {"post_id": self._subject.post_id, "comment_id": self._subject.comment_id}
            content = {"version": 1, "users": users, "counts": counts, PENDING: new_users}
            return InsertOne({**place, **ids, **content})
        version = self._stored[bucket]["version"]
        values = {"version": version + 1, "counts": counts, **{f"users.{key}": value for key, value in users.items()}}
        return UpdateOne({**place, "version": version}, {"$set": values, "$push": {PENDING: {"$each": new_users}}})


def bucket_id(subject_id: ObjectId, user_id: ObjectId) -> ObjectId:
    """Return the id of the document that has the reactions of a user to a subject.

    It has the time of the subject, which is what a scan by time goes by.
    """
    bucket = user_id.binary[-1] % BUCKETS
    digest = hashlib.sha256(f"reactions:{subject_id}:{bucket}".encode()).digest()
    return ObjectId(subject_id.binary[:4] + digest[:8])
