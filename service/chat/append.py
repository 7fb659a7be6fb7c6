"""The append of the chat: messages and their changes take the next numbers of their conversation."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from service.attachments.attachment_store import Claim
from service.attachments.attachments import FIELD as ATTACHMENTS
from service.attachments.attachments import Attachments, ids_in, not_claimable, own_nonce
from service.chat.conversation_head import ConversationHead
from service.chat.head_cache import HeadCache
from service.chat.mentioned import mentioned, names_in
from service.chat.message_store import CHANGED_AT, REV_HISTORY, MessageStore
from service.chat.system_message import SystemMessage, is_system
from service.common.errors import Blocked, LoaError, NonceReused, NotFound, ValidationFailed
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


Render = Callable[..., dict[str, Any]]


class AppendMessage(NamedTuple):
    """Request to store a new message. A `nonce` identifies it: repeated requests are one message. One with attachments
    has a nonce.

    `system` makes it a system message, whose sender need not be a participant any more.
    """

    conversation_id: ObjectId
    user_id: ObjectId
    content: str
    nonce: str | None = None
    reply_to: ObjectId | None = None
    system: SystemMessage | None = None
    attachments: tuple[ObjectId, ...] = ()

    @property
    def claim(self) -> Claim:
        """What its attachments will belong to. The same for each attempt to store it."""
        return Claim("message", self.conversation_id, self.user_id, None, self.nonce)


class ChangeMessage(NamedTuple):
    """Request to change a message.

    `apply(document)` returns the fields to set, or None if there is nothing to change; it raises LoaError if the user
    may not do that. `user_id` is None for the operator, who need not be a participant. `sends`: others are shown
    something new, which they are not if one of them is blocked. `content`: the new one of an edit.
    """

    conversation_id: ObjectId
    user_id: ObjectId | None
    message_id: ObjectId
    apply: Callable[[Document], Document | None]
    sends: bool = True
    content: str = ""


@dataclass
class StoredMessage:
    """A message as it is stored now.

    `event_type` is the event to publish; None if the request changed nothing, because it had been stored before.
    `participants` are those of the conversation when the message was stored, or a little later. `hidden_from` are those
    of them who do not see it, because they joined after it was sent. `version` is that of the participants.
    `removed_attachments` are to be deleted. `render` makes the JSON form of the message, as `MessageStore.as_json`.
    """

    message: Document
    event_type: Literal["new_message", "message_updated"] | None
    render: Render
    removed_attachments: Sequence[ObjectId] = ()
    participants: list[str] = field(default_factory=list)
    version: int = 0
    hidden_from: frozenset[str] = frozenset()

    @property
    def created(self) -> bool:
        return self.event_type == "new_message"

    @cached_property
    def as_json(self) -> dict[str, Any]:
        """The message as clients see it. The event and the acknowledgement share this one object."""
        return self.render(self.message)

    def as_seen_by(self, user_id: str) -> dict[str, Any]:
        """Return the message for this user; see `MessageStore.as_json`."""
        return self.as_json if self.created else self.render(self.message, user_id)


Outcome = StoredMessage | Exception


class MessageAppend:
    """Stores messages and their changes by optimistic append (see `service/datastores/optimistic_append.py`).

    Guarantees: a number exists only once its message is durable; seq and rev of a conversation have no gaps; the
    requests of one caller for one conversation are stored in their order; a user who is not a participant writes
    nothing. Only one call of `write` may run at a time for each conversation.

    A write whose number is the next one has found all changes of the participants that were acknowledged before it, for
    each of these has taken a number (see HeadCache): its sender is a participant, and its recipients are the right
    ones, without a read of either.
    """

    def __init__(
        self,
        heads: HeadCache,
        messages: MessageStore,
        ids_by_username: Callable[[Iterable[str]], Awaitable[Mapping[str, str]]],
        attachments: Attachments,
    ) -> None:
        """`ids_by_username(usernames)` returns the ids of those users that exist; it is asked about mentions only."""
        self._heads = heads
        self._messages = messages
        self._ids_by_username = ids_by_username
        self._attachments = attachments
        self._append = OptimisticAppend(messages.collection)

    async def write(
        self, requests: Sequence[AppendMessage | ChangeMessage], contention: Contention | None = None
    ) -> list[Outcome]:
        """Store all of `requests`, first the new messages, then the changes; return the outcome of each.

        A request that is not allowed gets NotFound, Blocked, ValidationFailed, NonceReused or what `apply` raised.
        Unavailable or a driver error means that the database failed or refused the request, which may have been stored
        all the same. Without `contention`, a request gets Contended if another process writes to its conversation: it
        has not been stored and belongs into a lane (see `service/datastores/lanes.py`). Raises Unavailable if nothing
        was attempted.
        """
        ids = {request.conversation_id for request in requests}
        # The change that a system message is about has been stored before it.
        changed = {each.conversation_id for each in requests if isinstance(each, AppendMessage) and each.system}
        heads = await self._heads.load(ids, changed)
        if contention and contention.recent:
            # Others write to this conversation: a read costs less than a collision.
            for conversation_id, known in heads.items():
                await self._heads.catch_up(conversation_id, known)
        await self._refresh_doubtful(requests, heads)
        outcomes: dict[int, Outcome] = {}
        for index, request in enumerate(requests):
            head = heads.get(request.conversation_id)
            if head is None or _is_stranger(request, head):
                outcomes[index] = NotFound()
            elif _is_barred(request, head):
                outcomes[index] = await self._repeated(request) or Blocked()
        await self._check_replies(requests, heads, outcomes)
        names = names_in(request.content for request in requests)
        user_ids = await self._ids_by_username(names) if names else {}
        await self._insert(
            {
                index: request
                for index, request in enumerate(requests)
                if index not in outcomes and isinstance(request, AppendMessage)
            },
            heads,
            user_ids,
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
                    outcome = await self._change(request, heads[request.conversation_id], user_ids, contention)
                    outcomes[index] = outcome
                    if isinstance(outcome, Contended):
                        contended.add(request.conversation_id)
                    continue
                except Exception as error:
                    # Each of the remaining changes would wait for the database just as long.
                    database_error = error
            outcomes[index] = database_error
        for each in outcomes.values():
            if isinstance(each, StoredMessage):
                head = heads[each.message["conversation_id"]]
                each.participants, each.version = head.participants, head.membership_version
                each.hidden_from = head.hidden_from(each.message["seq"])
        return [outcomes[index] for index in range(len(requests))]

    async def _refresh_doubtful(
        self, requests: Sequence[AppendMessage | ChangeMessage], heads: dict[ObjectId, ConversationHead]
    ) -> None:
        """Read the heads again that requests depend on in more than their numbers.

        A request may be refused by an outdated head: the sender may have joined since, or a block may have been
        removed. A change finds neither a barrier, which takes no rev, nor that somebody has deleted their history; nor
        does a reply find the latter. Both read the message that they are about as well.
        """
        doubtful = {
            request.conversation_id: head
            for request in requests
            if (head := heads.get(request.conversation_id))
            and (_is_about_another(request) or _is_stranger(request, head) or _is_barred(request, head))
        }
        await self._heads.refresh(doubtful)

    async def _repeated(self, request: AppendMessage | ChangeMessage) -> Outcome | None:
        """Return the outcome of a message that was stored before, by its nonce; None if there is none."""
        if not isinstance(request, AppendMessage) or request.nonce is None:
            return None
        stored = await self._messages.with_nonce(request.conversation_id, request.user_id, request.nonce)
        return self._outcome_of_repeated(stored, _document(request)) if stored else None

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
                or heads[request.conversation_id].hides(original["seq"], request.user_id)
            ):
                outcomes[index] = ValidationFailed.of("reply_to", "There is no such message in this conversation.")

    async def _insert(
        self,
        requests: Mapping[int, AppendMessage],
        heads: Mapping[ObjectId, ConversationHead],
        user_ids: Mapping[str, str],
        contention: Contention | None,
        outcomes: dict[int, Outcome],
    ) -> None:
        attached = await self._claim(requests, outcomes)
        requests = {index: request for index, request in requests.items() if index not in outcomes}
        documents = [_document(request, attached.get(index, ())) for index, request in requests.items()]
        for document in documents:
            if mentions := mentioned(document["content"], user_ids, heads[document["conversation_id"]]):
                document["mentions"] = mentions
        results = await self._append.append(documents, _MessageNumbering(heads, self._heads), contention)
        for (index, request), document, result in zip(requests.items(), documents, results, strict=True):
            if not isinstance(result, Appended):
                outcomes[index] = result
            elif request.system and result.document is not document:
                # Another process has appended it, or this one, before it was interrupted.
                outcomes[index] = self._stored(result.document, None)
            elif result.created:
                outcomes[index] = self._stored(result.document, "new_message")
            elif await self._is_stranger_now(request, heads[request.conversation_id], result.document):
                outcomes[index] = NotFound()
            else:
                outcomes[index] = self._outcome_of_repeated(result.document, document)

    async def _claim(
        self, requests: Mapping[int, AppendMessage], outcomes: dict[int, Outcome]
    ) -> dict[int, list[Document]]:
        """Claim the attachments of `requests`; return them by request. One that gets something else has an outcome.

        The claim comes before the message: if this process is killed in between, the repeated request has the same
        claim, and nobody else gets the attachments.
        """
        claims: dict[Claim, dict[ObjectId, None]] = {}
        for request in requests.values():
            if request.attachments:
                claims.setdefault(request.claim, {}).update(dict.fromkeys(request.attachments))
        if not claims:
            return {}
        claimed = await self._attachments.claim(claims)
        attached: dict[int, list[Document]] = {}
        for index, request in requests.items():
            if not request.attachments:
                continue
            summaries = claimed[request.claim]
            if summaries is not None:
                by_id = {each["id"]: each for each in summaries}
                attached[index] = [by_id[each] for each in request.attachments]
            else:
                # They are gone if the message that the nonce stands for has been deleted.
                outcomes[index] = await self._repeated(request) or not_claimable()
        return attached

    def _stored(
        self,
        document: Document,
        event_type: Literal["new_message", "message_updated"] | None,
        removed_attachments: Sequence[ObjectId] = (),
    ) -> StoredMessage:
        return StoredMessage(document, event_type, self._messages.as_json, removed_attachments)

    def _outcome_of_repeated(self, stored: Document, repeated: Document) -> Outcome:
        """Return the outcome of a message whose nonce has been used before."""
        same = stored["digest"] in (NO_DIGEST, repeated["digest"])
        if same:
            return self._stored(stored, None)
        return NonceReused() if own_nonce(stored["nonce"]) else not_claimable()

    async def _change(
        self,
        change: ChangeMessage,
        head: ConversationHead,
        user_ids: Mapping[str, str],
        contention: Contention | None,
    ) -> Outcome:
        """Apply `change` to what is stored now.

        If another writer changes the message or takes the rev first, retry in a lane, else return Contended.
        """
        collisions = 0
        while True:
            document = await self._messages.get(change.conversation_id, change.message_id)
            if (
                document is None
                or await self._is_stranger_now(change, head, document)
                or head.hides(document["seq"], change.user_id)
            ):
                return NotFound()
            try:
                fields = change.apply(document)
            except LoaError as error:
                return error
            if fields is None:
                return self._stored(document, None)
            removed = ids_in(document) if fields.get("deleted") else []
            if removed:
                await self._attachments.expire(removed)
                fields = fields | {ATTACHMENTS: []}
            if "content" in fields:
                # Also without any: of a message with attachments, the whole text may be removed.
                fields = fields | {"mentions": mentioned(change.content, user_ids, head)}
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
                    return self._stored(document | fields, "message_updated", removed)
                rev_taken = False
            if contention is None:
                return Contended()
            contention.lost()
            collisions += 1
            await back_off(collisions)
            if rev_taken:
                await self._heads.catch_up(change.conversation_id, head)

    async def _is_stranger_now(
        self, request: AppendMessage | ChangeMessage, head: ConversationHead, document: Document
    ) -> bool:
        """Return whether the user was no participant when `document` was last changed. If nothing is to be written, no
        number shows that the participants in `head` are outdated."""
        while document["rev"] > head.rev:
            await self._heads.catch_up(request.conversation_id, head)
        return _is_stranger(request, head)


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
        head = self._heads[document["conversation_id"]]
        # One that was found stored may lie behind others, which nobody here has seen.
        if document["seq"] == head.seq + 1 and document["rev"] == head.rev + 1:
            head.advance(document["seq"], document["rev"])

    async def catch_up(self, document: Document) -> None:
        conversation_id = document["conversation_id"]
        await self._cache.catch_up(conversation_id, self._heads[conversation_id])

    def refuse(self, document: Document) -> Exception | None:
        head = self._heads[document["conversation_id"]]
        if is_system(document):
            return None
        if not head.has_member(document["sender_id"]):
            return NotFound()
        return Blocked() if head.barrier else None

    def identity(self, document: Document) -> Document | None:
        if "nonce" not in document:
            return None
        return {name: document[name] for name in ("conversation_id", "sender_id", "nonce")}


def _is_stranger(request: AppendMessage | ChangeMessage, head: ConversationHead) -> bool:
    """Return whether the request is that of a user who is not a participant."""
    if request.user_id is None or (isinstance(request, AppendMessage) and request.system):
        return False
    return not head.has_member(request.user_id)


def _is_barred(request: AppendMessage | ChangeMessage, head: ConversationHead) -> bool:
    """Return whether the request is refused because one of two users blocks the other."""
    return bool(head.barrier) and (isinstance(request, AppendMessage) or request.sends)


def _is_about_another(request: AppendMessage | ChangeMessage) -> bool:
    """Return whether the request is about a message that the user must be able to see."""
    return request.reply_to is not None if isinstance(request, AppendMessage) else request.user_id is not None


def _document(request: AppendMessage, attachments: Sequence[Document] = ()) -> Document:
    moment = now()
    document: Document = {
        "_id": request.system.id if request.system else ObjectId(),
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
    if attachments:
        document[ATTACHMENTS] = attachments
    if request.system:
        document |= request.system.as_fields()
    if request.nonce is not None:
        # The content may be edited later; the nonce stands for the original one.
        original = "\n".join((str(request.reply_to), request.content, *map(str, request.attachments))).encode()
        document |= {"nonce": request.nonce, "digest": hashlib.blake2b(original, digest_size=16).digest()}
    return document
