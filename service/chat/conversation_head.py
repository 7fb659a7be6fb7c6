"""What the append has to know of a conversation: its last numbers and its participants."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bson import ObjectId

from service.chat.barrier import BARRIER
from service.chat.group_change import CLEARINGS
from service.datastores.mongo import Document


class HeadVersion(NamedTuple):
    """The head of a conversation without its participants; `version` changes with them.

    `seq` and `rev` are hints: messages up to these numbers exist, and maybe later ones.
    """

    version: int
    seq: int
    rev: int


@dataclass(slots=True)
class ConversationHead:
    """The last known numbers of a conversation, and its participants as of `version`."""

    version: int
    participants: list[str]
    members: frozenset[bytes]
    """The participants again, for membership tests: searching a list of 2,000 takes half a millisecond."""
    seq: int
    rev: int
    starts: Mapping[str, int] = field(default_factory=dict)
    """After which seq the participants see the messages; of those who see not all of them."""
    last_start: int = 0
    """The highest of `starts`: all participants see the messages after it."""
    barrier: ObjectId | None = None
    """The barrier of a direct conversation in which nobody can send: one of the two users blocks the other."""
    clearings: int = 0
    """How many versions changed no participants: see `group_change.CLEARINGS`."""
    read_at: float = -math.inf
    """When the read of `version` began, by the monotonic clock."""

    @classmethod
    def of(cls, document: Document) -> "ConversationHead":
        """Return the head of a conversation, whose document has all participants."""
        starts = document.get("starts", {})
        return cls(
            document.get("version", 0),
            [str(user_id) for user_id in document["participants"]],
            frozenset(user_id.binary for user_id in document["participants"]),
            document["last"]["seq"],
            document["last_rev"],
            starts,
            max(starts.values(), default=0),
            document.get(BARRIER),
            document.get(CLEARINGS, 0),
        )

    @property
    def membership_version(self) -> int:
        """Which participants these are: it is the same on two processes of which one knows of a later clearing."""
        return self.version - self.clearings

    def changed(self, document: Document, memberships: Sequence[Document]) -> "ConversationHead":
        """Return the head of a large group of which these memberships have changed since this one was read."""
        head = replace(self, version=document["version"], clearings=document.get(CLEARINGS, 0), read_at=-math.inf)
        head.advance(document["last"]["seq"], document["last_rev"])
        if memberships:
            changed = {str(each["user_id"]): each for each in memberships}
            present = {user_id: each for user_id, each in changed.items() if "place" in each}
            head.participants = [each for each in self.participants if each not in changed] + list(present)
            head.members = self.members.difference(each["user_id"].binary for each in memberships)
            head.members |= {each["user_id"].binary for each in present.values()}
            starts = {user_id: start for user_id, start in self.starts.items() if user_id not in changed}
            head.starts = starts | {user_id: each["start"] for user_id, each in present.items() if "start" in each}
            head.last_start = max(head.starts.values(), default=0)
        return head

    def hidden_from(self, seq: int) -> frozenset[str]:
        """Return the participants who do not see the message with this seq, because they joined later."""
        if seq > self.last_start:
            return frozenset()
        return frozenset(user_id for user_id, start in self.starts.items() if seq <= start)

    def hides(self, seq: int, user_id: ObjectId | None) -> bool:
        """Return whether this user (None: the operator) does not see the message with this seq."""
        return seq <= self.last_start and seq <= self.starts.get(str(user_id), 0)

    def has_member(self, user_id: ObjectId) -> bool:
        return user_id.binary in self.members

    def take_membership(self, other: "ConversationHead") -> None:
        """Take the participants from `other`, which was read later."""
        self.version, self.clearings = other.version, other.clearings
        self.participants, self.members = other.participants, other.members
        self.starts, self.last_start = other.starts, other.last_start
        self.barrier = other.barrier

    def advance(self, seq: int, rev: int) -> None:
        """Note that messages up to these numbers are durable, and that none of them changes what is known here."""
        self.seq = max(self.seq, seq)
        self.rev = max(self.rev, rev)
