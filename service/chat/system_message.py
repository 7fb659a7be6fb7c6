"""System messages: the changes of a group, as messages in its history."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from bson import ObjectId

from service.chat.members import Role
from service.datastores.mongo import Document

MAX_NAMED = 100
"""Users that one message names. Thousands may join at once, and each of them gets the message."""

SystemKind = Literal["joined", "left", "removed", "renamed", "role"]


class SystemMessage(NamedTuple):
    """A change of a group that `by` has made.

    `user_ids`: who has joined, was removed or got the `role`; of more than MAX_NAMED, the first ones, and `user_count`
    counts all of them. `title`: the new one. `id` is that of the message, so that it is appended once.
    """

    id: ObjectId
    kind: SystemKind
    by: ObjectId
    user_ids: Sequence[ObjectId] = ()
    user_count: int = 0
    title: str | None = None
    role: Role | None = None

    @classmethod
    def of_users(
        cls, kind: SystemKind, by: ObjectId, user_ids: Sequence[ObjectId], role: Role | None = None
    ) -> "SystemMessage":
        return cls(ObjectId(), kind, by, list(user_ids[:MAX_NAMED]), len(user_ids), None, role)

    @classmethod
    def renamed(cls, by: ObjectId, title: str) -> "SystemMessage":
        return cls(ObjectId(), "renamed", by, title=title)

    @classmethod
    def left(cls, by: ObjectId) -> "SystemMessage":
        return cls(ObjectId(), "left", by)

    @classmethod
    def from_document(cls, document: Document) -> "SystemMessage":
        """Return what `as_document` has made a document."""
        return cls(**document)

    def as_document(self) -> Document:
        return self._asdict()

    def as_fields(self) -> Document:
        """Return the fields in which the stored message differs from that of a user (see MessageStore)."""
        event = {"user_ids": self.user_ids, "user_count": self.user_count, "title": self.title, "role": self.role}
        return {"kind": self.kind, "event": event, "deleted": True}


def is_system(document: Document) -> bool:
    """Return whether a stored message is a system message."""
    return "kind" in document


def event_json(document: Document) -> dict[str, Any] | None:
    """Return the `event` of a stored message as clients see it; None for a message that a user has written."""
    if not is_system(document):
        return None
    event = document["event"]
    shown: dict[str, Any] = {"by": str(document["sender_id"])}
    if event["user_ids"]:
        shown["user_ids"] = [str(user_id) for user_id in event["user_ids"]]
        shown["user_count"] = event["user_count"]
    return shown | {name: event[name] for name in ("title", "role") if event[name] is not None}
