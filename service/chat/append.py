"""The append of the chat: messages and their changes take the next numbers of their conversation."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.chat.conversation_store import ConversationHead
from service.chat.head_cache import HeadCache
from service.chat.message_store import CHANGED_AT, REV_HISTORY, MessageStore, message_json
from service.common.errors import LoaError, NonceReused, NotFound, Unavailable, ValidationFailed
from service.common.times import now
from service.datastores.batcher import Contended
from service.datastores.lanes import Contention
from service.datastores.mongo import Document, unavailable
from service.datastores.optimistic_append import Appended, OptimisticAppend, back_off

MAX_REV_HISTORY = 1000
"""Revs of one message in the unique index. Older ones may leave it: only a writer that knew none of so many later revs
could still try to take one of them."""

NO_DIGEST = b""
"""Stored instead of the digest of a deleted message, by which anyone with access to the database could confirm guesses
of its text. The nonce still identifies the message, with any content."""


class AppendMessage(NamedTuple):
    """Request to store a new message. A `nonce` identifies it: repeated requests are one message.

    `received_at`: the time of the request by the monotonic clock; its sender must be a participant at that time or
    later.
    """

    received_at: float
    conversation_id: ObjectId
    user_id: ObjectId
    content: str
    nonce: str | None = None
    reply_to: ObjectId | None = None


class ChangeMessage(NamedTuple):
    """Request to change a message; `received_at` as for a new one.

    `apply(document)` returns the fields to set, or None if there is nothing to change; it raises LoaError if the user
    may not do that. `user_id` is None for the operator, who need not be a participant.
    """

    received_at: float
    conversation_id: ObjectId
    user_id: ObjectId | None
    message_id: ObjectId
    apply: Callable[[Document], Document | None]


@dataclass
class StoredMessage:
    """A message as it is stored now.

    `event_type` is the event to publish; None if the request changed nothing, because it had been stored before.
    `participants` are those of the conversation, read after the message was stored; None if they could not be read.
    `hidden_from` are those of them who do not see it, because they joined after it was sent.
    """

    message: Document
    event_type: Literal["new_message", "message_updated"] | None
    participants: list[str] | None = None
    hidden_from: frozenset[str] = frozenset()

    @property
    def created(self) -> bool:
        return self.event_type == "new_message"

    @cached_property
    def as_json(self) -> dict[str, Any]:
        """The message as clients see it. The event and the acknowledgement share this one object."""
        return message_json(self.message)

    def as_seen_by(self, user_id: str) -> dict[str, Any]:
        """Return the message for this user; see `message_json`."""
        return self.as_json if self.created else message_json(self.message, user_id)


Outcome = StoredMessage | Exception


class MessageAppend:
    """Stores messages and their changes by optimistic append (see `service/datastores/optimistic_append.py`).

    Guarantees: a number exists only once its message is durable; seq and rev of a conversation have no gaps; the
    requests of one caller for one conversation are stored in their order; a user who is not a participant writes
    nothing. Only one call of `write` may run at a time for each conversation.
    """

    def __init__(self, heads: HeadCache, messages: MessageStore) -> None:
        self._heads = heads
        self._messages = messages
        self._append = OptimisticAppend(messages.collection)

    async def write(
        self, requests: Sequence[AppendMessage | ChangeMessage], contention: Contention | None = None
    ) -> list[Outcome]:
        """Store all of `requests`, first the new messages, then the changes; return the outcome of each.

        The participants are read after the request has arrived, to check its sender, and again after the write: a user
        who joins meanwhile receives the message, and one who is removed does not. The read after one write is also the
        one before the next, for requests that arrived before it.

        A request that is not allowed gets NotFound, ValidationFailed, NonceReused or what `apply` raised. Unavailable
        or a driver error means that the database failed or refused the request, which may have been stored all the
        same. Without `contention`, a request gets Contended if another process writes to its conversation: it has not
        been stored and belongs into a lane (see `service/datastores/lanes.py`). Raises Unavailable if nothing was
        attempted.
        """
        received_at: dict[ObjectId, float] = {}
        for request in requests:
            key = request.conversation_id
            received_at[key] = max(request.received_at, received_at.get(key, 0.0))
        heads = await self._heads.load(received_at)
        if contention and contention.recent:
            # Others write to this conversation: a read costs less than a collision.
            for conversation_id, known in heads.items():
                await self._heads.catch_up(conversation_id, known)
        outcomes: dict[int, Outcome] = {}
        for index, request in enumerate(requests):
            head = heads.get(request.conversation_id)
            if head is None or (request.user_id is not None and request.user_id.binary not in head.members):
                outcomes[index] = NotFound()
        await self._check_replies(requests, heads, outcomes)
        await self._insert(
            {
                index: request
                for index, request in enumerate(requests)
                if index not in outcomes and isinstance(request, AppendMessage)
            },
            heads,
            contention,
            outcomes,
        )
        contended = {
            requests[index].conversation_id for index, outcome in outcomes.items() if isinstance(outcome, Contended)
        }
        database_error: Exception | None = None
        for index, request in enumerate(requests):
            if index in outcomes or not isinstance(request, ChangeMessage):
                continue
            if request.conversation_id in contended:
                outcomes[index] = Contended()
                continue
            if database_error is None:
                try:
                    outcome = await self._change(request, heads[request.conversation_id], contention)
                    outcomes[index] = outcome
                    if isinstance(outcome, Contended):
                        contended.add(request.conversation_id)
                    continue
                except Exception as error:
                    # Each of the remaining changes would wait for the database just as long.
                    database_error = error
            outcomes[index] = database_error
        await self._read_participants([each for each in outcomes.values() if isinstance(each, StoredMessage)])
        return [outcomes[index] for index in range(len(requests))]

    async def _read_participants(self, stored: Sequence[StoredMessage]) -> None:
        if not stored:
            return
        try:
            stored_at = time.monotonic()
            heads = await self._heads.load({each.message["conversation_id"]: stored_at for each in stored})
        except Unavailable:
            # The messages are stored, and the caller makes up for their events.
            return
        for each in stored:
            head = heads.get(each.message["conversation_id"])
            each.participants = head.participants if head else []
            each.hidden_from = head.hidden_from(each.message["seq"]) if head else frozenset()

    async def _check_replies(
        self,
        requests: Sequence[AppendMessage | ChangeMessage],
        heads: Mapping[ObjectId, ConversationHead],
        outcomes: dict[int, Outcome],
    ) -> None:
        replies = {
            index: request
            for index, request in enumerate(requests)
            if isinstance(request, AppendMessage) and request.reply_to
        }
        found = await self._messages.get_many(
            {(request.conversation_id, request.reply_to) for request in replies.values() if request.reply_to}
        )
        for index, request in replies.items():
            if index in outcomes:
                continue
            original = found.get(request.reply_to) if request.reply_to else None
            if (
                original is None
                or original["conversation_id"] != request.conversation_id
                or _is_hidden(original, request.user_id, heads[request.conversation_id])
            ):
                outcomes[index] = ValidationFailed.of("reply_to", "There is no such message in this conversation.")

    async def _insert(
        self,
        requests: Mapping[int, AppendMessage],
        heads: Mapping[ObjectId, ConversationHead],
        contention: Contention | None,
        outcomes: dict[int, Outcome],
    ) -> None:
        documents = [_document(request) for request in requests.values()]
        results = await self._append.append(documents, _MessageNumbering(heads, self._heads), contention)
        for index, document, result in zip(requests, documents, results, strict=True):
            if not isinstance(result, Appended):
                outcomes[index] = result
            elif result.created:
                outcomes[index] = StoredMessage(result.document, "new_message")
            elif result.document["digest"] in (NO_DIGEST, document["digest"]):
                outcomes[index] = StoredMessage(result.document, None)
            else:
                outcomes[index] = NonceReused()

    async def _change(self, change: ChangeMessage, head: ConversationHead, contention: Contention | None) -> Outcome:
        """Apply `change` to what is stored now.

        If another writer changes the message or takes the rev first, retry in a lane, else return Contended.
        """
        collisions = 0
        while True:
            document = await self._messages.get(change.conversation_id, change.message_id)
            if document is None or _is_hidden(document, change.user_id, head):
                return NotFound()
            try:
                fields = change.apply(document)
            except LoaError as error:
                return error
            if fields is None:
                return StoredMessage(document, None)
            head.advance(document["seq"], document["rev"])
            rev = head.rev + 1
            history = [*document[REV_HISTORY], rev][-MAX_REV_HISTORY:]
            fields = fields | {"rev": rev, REV_HISTORY: history, CHANGED_AT: now()}
            try:
                async with unavailable():
                    result = await self._messages.collection.update_one(
                        {key: document[key] for key in ("_id", "conversation_id", "rev")}, {"$set": fields}
                    )
            except DuplicateKeyError:
                rev_taken = True
            else:
                if result.matched_count:
                    head.advance(document["seq"], rev)
                    return StoredMessage(document | fields, "message_updated")
                rev_taken = False
            if contention is None:
                return Contended()
            contention.lost()
            collisions += 1
            await back_off(collisions)
            if rev_taken:
                await self._heads.catch_up(change.conversation_id, head)


class _MessageNumbering:
    """The Numbering of messages: `seq` and `rev`, one step each, from the heads of their conversations."""

    scope = "conversation_id"

    def __init__(self, heads: Mapping[ObjectId, ConversationHead], cache: HeadCache) -> None:
        self._heads = heads
        self._cache = cache

    def assign(self, documents: Sequence[Document]) -> None:
        steps: dict[ObjectId, int] = {}
        for document in documents:
            conversation_id = document["conversation_id"]
            steps[conversation_id] = step = steps.get(conversation_id, 0) + 1
            head = self._heads[conversation_id]
            document["seq"] = head.seq + step
            document["rev"] = head.rev + step
            document[REV_HISTORY] = [document["rev"]]

    def accept(self, document: Document) -> None:
        self._heads[document["conversation_id"]].advance(document["seq"], document["rev"])

    async def catch_up(self, document: Document) -> None:
        conversation_id = document["conversation_id"]
        await self._cache.catch_up(conversation_id, self._heads[conversation_id])

    def identity(self, document: Document) -> Document | None:
        if "nonce" not in document:
            return None
        return {name: document[name] for name in ("conversation_id", "sender_id", "nonce")}


def _is_hidden(message: Document, user_id: ObjectId | None, head: ConversationHead) -> bool:
    """Return whether the user (None: the operator) does not see the message, because they joined after it was sent."""
    return bool(message["seq"] <= head.last_start and message["seq"] <= head.starts.get(str(user_id), 0))


def _document(request: AppendMessage) -> Document:
    moment = now()
    document: Document = {
        "_id": ObjectId(),
        "conversation_id": request.conversation_id,
        "sender_id": request.user_id,
        "content": request.content,
        "reply_to": request.reply_to,
        "created_at": moment,
        CHANGED_AT: moment,
        "edited_at": None,
        "deleted": False,
        "reactions": {},
    }
    if request.nonce is not None:
        # The content may be edited later; the nonce stands for the original one.
        original = f"{request.reply_to}\n{request.content}".encode()
        document |= {"nonce": request.nonce, "digest": hashlib.blake2b(original, digest_size=16).digest()}
    return document
