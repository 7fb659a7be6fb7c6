"""The participants of a conversation as its document describes them: roles, times of joining, read marks,
and where the history that each of them sees begins.

The document of a large group comes from LargeGroups: `participants` are the first ones only, unless it is complete, and
`reads` and `starts` are those of the user for whom it was read."""

from datetime import datetime
from typing import Literal

from bson import ObjectId

from service.datastores.mongo import Document

MAX_READ_MARKS = 100
"""Read marks shown with a conversation."""

MAX_NOTIFIED = 100
"""Participants who get each other's read marks and typing. In a group of thousands, where each reads each message,
that would be millions of events for one message."""

LARGE = "large"
"""The stored field that says that the participants are in MembershipStore. A large group remains one."""

Role = Literal["owner", "admin", "member"]
History = Literal["since_joined", "all"]
"""Which messages users see who join a group later."""


def is_large(conversation: Document) -> bool:
    return LARGE in conversation


def participant_count(conversation: Document) -> int:
    count: int = conversation["participant_count"] if is_large(conversation) else len(conversation["participants"])
    return count


def owner_of(conversation: Document) -> ObjectId:
    """Return the owner; if the owner has left and the ownership was not transferred, their successor.

    That happens if a process of an earlier version ended between the two writes.
    """
    owner: ObjectId = conversation["owner_id"]
    if is_large(conversation):
        return owner
    members: list[ObjectId] = conversation["participants"]
    return owner if owner in members or not members else successor_of(conversation, owner) or owner


def successor_of(conversation: Document, owner: ObjectId) -> ObjectId | None:
    """Return who becomes the owner if `owner` leaves: the longest-standing admin, else member; None: nobody."""
    others: list[ObjectId] = [member for member in conversation["participants"] if member != owner]
    admins = frozenset(conversation.get("admins", ()))
    return next((member for member in others if member in admins), others[0] if others else None)


class Roles:
    """The roles in a conversation, to be asked for each of many participants."""

    def __init__(self, conversation: Document) -> None:
        self._owner = owner_of(conversation)
        self._admins = frozenset(conversation.get("admins", ()))

    def of(self, user_id: ObjectId) -> Role:
        if user_id == self._owner:
            return "owner"
        return "admin" if user_id in self._admins else "member"


def role_of(conversation: Document, user_id: ObjectId) -> Role:
    return Roles(conversation).of(user_id)


def joining_times(conversation: Document) -> dict[ObjectId, datetime]:
    """Return when each participant joined: at the creation if no other time is known, as in earlier versions."""
    times: dict[ObjectId, datetime] = {}
    times.update(dict.fromkeys(conversation["participants"], conversation["created_at"]))
    for entry in conversation.get("joined", ()):
        # Later entries are of those who have left and joined again.
        times.update(dict.fromkeys(entry["users"], entry["at"]))
    return times


def history_of(conversation: Document) -> History:
    """Return what users see who join from now on; `since_joined` for groups of earlier versions."""
    history: History = conversation.get("history", "since_joined")
    return history


def start_of(conversation: Document, user_id: ObjectId | str) -> int:
    """Return the seq after which `user_id` sees the messages: the last one before they joined, or 0."""
    seq: int = conversation.get("starts", {}).get(str(user_id), 0)
    return seq


def read_of(conversation: Document, user_id: ObjectId | str) -> int:
    """Return the seq that `user_id` has read up to. What they do not see is not unread."""
    key = str(user_id)
    seq: int = conversation.get("reads", {}).get(key, 0)
    return max(seq, start_of(conversation, key))


def read_marks_of(conversation: Document, user_id: ObjectId) -> dict[str, int] | None:
    """Return the read marks of the participants other than `user_id`; None if they are more than MAX_READ_MARKS."""
    if not shows_read_marks(conversation):
        return None
    others = [str(member) for member in conversation["participants"] if member != user_id]
    return {member: read_of(conversation, member) for member in others}


def shows_read_marks(conversation: Document) -> bool:
    """Return whether the participants are shown each other's read marks."""
    return participant_count(conversation) <= MAX_READ_MARKS + 1


def tells_activity(conversation: Document) -> bool:
    """Return whether the participants get each other's read marks and typing."""
    return participant_count(conversation) <= MAX_NOTIFIED
