"""How stored messages change the counters and read marks of their conversation."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from bson import ObjectId

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
