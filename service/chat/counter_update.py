"""How stored messages change the counters and read marks of their conversation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from service.chat.system_message import is_system
from service.datastores.mongo import Document


@dataclass(slots=True)
class CounterUpdate:
    """The highest numbers among stored messages of one conversation, and the read marks of their senders."""

    rev: int = 0
    seq: int = 0
    message_id: ObjectId | None = None
    at: datetime | None = None
    last_deleted: int = 0
    last_mention: int = 0
    reads: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_messages(cls, messages: Iterable[Document]) -> "CounterUpdate":
        """Merge `messages`, all of one conversation, as new ones."""
        update = cls()
        for message in messages:
            update.merge(message, created=True)
        return update

    def merge(self, message: Document, *, created: bool) -> None:
        """Add a stored message; `created` is False if it is a change of an existing one."""
        self.rev = max(self.rev, message["rev"])
        if message["deleted"]:
            self.last_deleted = max(self.last_deleted, message["seq"])
        if message.get("mentions"):
            self.last_mention = max(self.last_mention, message["seq"])
        if not created:
            return
        if message["seq"] > self.seq:
            self.seq, self.message_id, self.at = message["seq"], message["_id"], message["created_at"]
        if is_system(message):
            return
        # Senders have read the messages before their own.
        sender = str(message["sender_id"])
        self.reads[sender] = max(self.reads.get(sender, 0), message["seq"])

    def as_write(self, conversation_id: ObjectId, reads: Mapping[str, int]) -> UpdateOne:
        """Return the write that raises the counters to these, and the read marks to `reads`, if all these readers may
        have one."""
        maxima: Document = {"last_rev": self.rev}
        if self.last_deleted:
            maxima["last_deleted"] = self.last_deleted
        if self.last_mention:
            maxima["last_mention"] = self.last_mention
        if self.message_id:
            # Documents compare field by field, so the greater seq decides.
            maxima |= {"last": {"seq": self.seq, "id": self.message_id}, "last_activity": self.at}
            maxima |= {f"reads.{reader}": seq for reader, seq in reads.items()}
        where: Document = {"_id": conversation_id}
        if reads:
            readers = [ObjectId(reader) for reader in reads]
            where |= {"participants": {"$all": readers}, "erased": {"$nin": readers}}
        return UpdateOne(where, {"$max": maxima})
