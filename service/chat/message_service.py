"""The use cases of messages: send, change, read. A message is persisted first, then published."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from bson import ObjectId

from service.attachments.attachment_store import Claim
from service.attachments.attachments import Attachments, ids_in, repeatable_nonce
from service.chat import events
from service.chat.append import NO_DIGEST, AppendMessage, ChangeMessage, MessageAppend, StoredMessage
from service.chat.conversation_store import ConversationStore, seq_of, version_of
from service.chat.counter_reader import CounterReader
from service.chat.counter_reconciler import CounterReconciler
from service.chat.group_change import PENDING_MESSAGES
from service.chat.head_cache import HeadCache
from service.chat.members import start_of
from service.chat.message_store import REV_HISTORY, MessageStore
from service.chat.reactions import with_reaction
from service.chat.system_message import SystemMessage, is_system
from service.chat.write_behind import WriteBehind
from service.chat.writer_checkpoints import WriterCheckpoints
from service.common.emoji import parse_emoji
from service.common.encoding import dumps
from service.common.errors import Forbidden, LoaError, NotFound, Unavailable, ValidationFailed
from service.common.moderation import MayDelete, nobody_moderates
from service.common.page_size import fit, fitting
from service.common.profiles import Profiles
from service.common.times import now
from service.datastores.batcher import BATCH_TIMEOUT, Contended
from service.datastores.lanes import Contention, Lanes
from service.datastores.mongo import Document
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event

SYNC_LIMIT = 500
SYNC_BYTES = 384 * 1024
"""A `sync` ends with the message that exceeds this size: a longer one would not fit into a connection's queue."""
HISTORY_READ = 50
"""Messages in one read of the history: a usual page. Of a longer one, the rest is read only if it fits."""
MAX_CATCH_UPS = 8
"""Concurrent reads of missed messages. Each takes a megabyte or two, and after a restart every client wants one."""
CATCH_UP_TIMEOUT = 10.0
"""Seconds to wait for one of MAX_CATCH_UPS; after that the client is asked to come back later."""

TOMBSTONE: Document = {"content": "", "mentions": [], "reactions": {}, "deleted": True, "digest": NO_DIGEST}
"""The fields of a deleted message that change; its numbers, sender and times stay."""


class Page(NamedTuple):
    """Messages, and the cursor of the next page (None: there is none)."""

    items: list[dict[str, Any]]
    next: int | None


class CatchUp(NamedTuple):
    """The messages of one conversation that a client has missed; `complete` is False if there are more. `version`: of
    the conversation, with the user as a participant."""

    messages: list[dict[str, Any]]
    last_rev: int
    complete: bool
    version: int

    def as_json(self) -> dict[str, Any]:
        return {"messages": self.messages, "last_rev": self.last_rev, "complete": self.complete}


class MessageService:
    """Messages: stored in batches, then published to all participants, then acknowledged.

    The counters of their conversations are written behind (WriteBehind). If a write is interrupted, CounterReconciler
    repairs the counters and makes the connected clients fetch what was stored.
    """

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        checkpoints: WriterCheckpoints,
        dispatcher: Dispatcher,
        profiles: Profiles,
        attachments: Attachments,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """`on_batch(size)` is called with the number of new messages and changes in each batch."""
        self._conversations = conversations
        self._messages = messages
        self._dispatcher = dispatcher
        self._attachments = attachments
        self._counter_reader = CounterReader(messages, dispatcher.positions)
        self._append = MessageAppend(
            HeadCache(conversations, messages, dispatcher.last_known), messages, profiles.ids_by_username, attachments
        )
        self._reconciler = CounterReconciler(conversations, messages, checkpoints, dispatcher)
        self._write_behind = WriteBehind(conversations, self._reconciler.mark_dirty)
        self._writes: Lanes[AppendMessage | ChangeMessage, StoredMessage] = Lanes(
            self._write,
            list_of=lambda request: request.conversation_id,
            timeout=BATCH_TIMEOUT,
            on_batch=on_batch,
            on_results=self._on_written,
        )
        self._catch_ups = asyncio.Semaphore(MAX_CATCH_UPS)
        self.on_created: Callable[[Document], None] = lambda message: None
        """Called with each message that this process has stored."""
        dispatcher.set_backfill(events.TOPIC, self._backfill, self._latest_rev)

    async def start(self) -> None:
        await self._reconciler.start()

    async def close(self) -> None:
        await self._writes.close()
        await self._reconciler.stop()
        await self._write_behind.close()
        await self._reconciler.remove_checkpoint()

    async def flush_counters(self) -> bool:
        """Write the counters of all messages stored so far. Return whether any were waiting to be written."""
        return await self._write_behind.flush()

    # Sending and changing.

    def submit(
        self,
        user_id: str,
        conversation_id: str,
        content: str,
        nonce: str | None = None,
        reply_to: str | None = None,
        attachments: Sequence[str] = (),
    ) -> "asyncio.Future[StoredMessage]":
        """Submit a message; messages of one caller are stored in the order of the calls.

        The future returns the stored message, or raises NotFound, Blocked, NonceReused, ValidationFailed (`reply_to`,
        `attachments`) or Unavailable. The call itself may raise Unavailable.
        """
        request = AppendMessage(
            ObjectId(conversation_id),
            ObjectId(user_id),
            content,
            repeatable_nonce(nonce, attachments),
            ObjectId(reply_to) if reply_to else None,
            attachments=tuple(map(ObjectId, attachments)),
        )
        return self._writes.submit(request)

    async def send(
        self,
        user_id: str,
        conversation_id: str,
        content: str,
        nonce: str | None = None,
        reply_to: str | None = None,
        attachments: Sequence[str] = (),
    ) -> tuple[dict[str, Any], bool]:
        """Like `submit`; return the Message, and whether it was created by this call."""
        stored = await self.submit(user_id, conversation_id, content, nonce, reply_to, attachments)
        return stored.as_seen_by(user_id), stored.created

    async def edit(self, user_id: str, conversation_id: str, message_id: str, content: str) -> dict[str, Any]:
        """Return the edited Message; `content` may be empty if it has attachments.

        Raises NotFound, Blocked, Forbidden (another user's, or deleted), ValidationFailed (`content`), Unavailable.
        """

        def apply(document: Document) -> Document | None:
            _check_own(document, user_id)
            if not content and not ids_in(document):
                raise ValidationFailed.of("content", "Contains no visible character")
            return None if document["content"] == content else {"content": content, "edited_at": now()}

        return await self._change(user_id, conversation_id, message_id, apply, content=content)

    async def delete(
        self, user_id: str, conversation_id: str, message_id: str, may_delete: MayDelete = nobody_moderates
    ) -> dict[str, Any]:
        """Return the message as a tombstone. Idempotent. Raises NotFound, Forbidden (another user's, and they are no
        moderator who may delete it), Unavailable."""

        def apply(document: Document) -> Document | None:
            if document["deleted"] and document["sender_id"] == ObjectId(user_id) and not is_system(document):
                return None
            _check_own(document, user_id)
            return TOMBSTONE

        try:
            return await self._change(user_id, conversation_id, message_id, apply, sends=False)
        except (NotFound, Forbidden):
            # A moderator need not be a participant.
            if not await may_delete():
                raise
        ids = ObjectId(conversation_id), None, ObjectId(message_id)
        request = ChangeMessage(*ids, lambda document: None if document["deleted"] else TOMBSTONE, sends=False)
        return (await self._writes.submit(request)).as_seen_by(user_id)

    async def react(
        self, user_id: str, conversation_id: str, message_id: str, emoji: str, *, on: bool
    ) -> dict[str, Any]:
        """Add or remove a reaction. Idempotent.

        Raises NotFound, Blocked (adding one), Forbidden (deleted message), ValidationFailed (`emoji`), Unavailable.
        """
        if on:
            parse_emoji(emoji)

        def apply(document: Document) -> Document | None:
            _check_changeable(document)
            reactions = with_reaction(document["reactions"], emoji, user_id, on=on)
            return None if reactions is None else {"reactions": reactions}

        return await self._change(user_id, conversation_id, message_id, apply, sends=on)

    async def erase(self, user_id: str, conversation_id: str, message_id: str) -> None:
        """For the deletion of a user: replace their message by a tombstone, or remove their reactions from another's.

        Idempotent. Raises NotFound, Unavailable.
        """

        def apply(document: Document) -> Document | None:
            if document["sender_id"] == ObjectId(user_id):
                return None if document["deleted"] else TOMBSTONE
            kept = {
                emoji: [user for user in users if user != user_id] for emoji, users in document["reactions"].items()
            }
            kept = {emoji: users for emoji, users in kept.items() if users}
            return None if kept == document["reactions"] else {"reactions": kept}

        await self._writes.submit(
            ChangeMessage(ObjectId(conversation_id), None, ObjectId(message_id), apply, sends=False)
        )

    async def append_pending(self, conversation: Document) -> None:
        """Append the system messages of a group that may not have been appended yet. Idempotent. Raises Unavailable."""
        pending = [SystemMessage.from_document(each) for each in conversation.get(PENDING_MESSAGES, ())]
        if not pending:
            return
        key: ObjectId = conversation["_id"]
        requests = [AppendMessage(key, message.by, "", system=message) for message in pending]
        await asyncio.gather(*map(self._writes.submit, requests))
        await self._conversations.groups.remove_pending(key, [message.id for message in pending])

    # Reading.

    async def holds(self, claim: Claim, attachment_id: ObjectId) -> bool:
        """Implements Holder for attachments of messages."""
        return await self._message_with(claim, attachment_id) is not None

    async def check_visible(self, viewer: str, claim: Claim, attachment_id: ObjectId) -> None:
        """Implements Holder: the viewer has to be a participant whose history has the message."""
        message = await self._message_with(claim, attachment_id)
        if message is None:
            raise NotFound
        start = await self._conversations.check_participant(message["conversation_id"], ObjectId(viewer))
        if message["seq"] <= start:
            raise NotFound

    async def _message_with(self, claim: Claim, attachment_id: ObjectId) -> Document | None:
        assert claim.list_id
        if claim.nonce is not None:
            message = await self._messages.with_nonce(claim.list_id, claim.author_id, claim.nonce)
        else:
            assert claim.object_id
            message = await self._messages.get(claim.list_id, claim.object_id)
        return message if message and attachment_id in ids_in(message) else None

    async def get(self, user_id: str, conversation_id: str, message_id: str) -> dict[str, Any]:
        """Return the Message. Raises NotFound, also if the user's history begins after it; Unavailable."""
        message = await self._messages.get(ObjectId(conversation_id), ObjectId(message_id))
        start = await self._conversations.check_participant(ObjectId(conversation_id), ObjectId(user_id))
        if message is None or message["seq"] <= start:
            raise NotFound
        return self._messages.as_json(message, user_id)

    async def history(self, user_id: str, conversation_id: str, before: int | None, limit: int) -> Page:
        """Return a page of history, ascending by seq: the newest, or the one below seq `before`.

        At most `limit`, and fewer if they are long. Raises NotFound, Unavailable.
        """
        conversation = await self._conversations.counters(ObjectId(conversation_id), ObjectId(user_id))
        await self._counter_reader.refresh([conversation], user_id)
        end = seq_of(conversation) if before is None else min(before - 1, seq_of(conversation))
        start = start_of(conversation, user_id)
        first = max(start + 1, end - limit + 1)
        newest_first: list[dict[str, Any]] = []
        while end >= first and fitting(newest_first) == len(newest_first):
            low = max(first, end - HISTORY_READ + 1)
            documents = await self._messages.range(conversation["_id"], low, end)
            newest_first += [self._messages.as_json(document, user_id) for document in reversed(documents)]
            end = low - 1
        start = await self._conversations.check_participant(conversation["_id"], ObjectId(user_id))
        newest_first = [message for message in newest_first if message["seq"] > start]
        items = fit(newest_first, reverse=True)
        return Page(items, items[0]["seq"] if items and items[0]["seq"] > start + 1 else None)

    async def changes(self, user_id: str, conversation_id: str, after_rev: int, limit: int) -> Page:
        """Return the messages whose last change is later than `after_rev`, ascending by rev.

        At most `limit`, and fewer if they are long (SYNC_BYTES). Raises NotFound, Unavailable.
        """
        conversation = await self._conversations.counters(ObjectId(conversation_id), ObjectId(user_id))
        found, complete = await self._changes_for(user_id, conversation, after_rev, limit)
        return Page(found, None if complete else found[-1]["rev"])

    async def catch_up(
        self, user_id: str, revs: Mapping[str, int]
    ) -> "list[tuple[str, Callable[[], Awaitable[CatchUp]]]]":
        """For each conversation in `revs` return a function that reads what was missed after that rev.

        The caller reads them one at a time, for together they could exceed the memory; each may raise Unavailable, and
        NotFound if the user has been removed since.
        Conversations in which the user is not a participant are left out. Raises Unavailable.
        """
        found = await self._conversations.get_many({ObjectId(key) for key in revs}, ObjectId(user_id))
        await self._counter_reader.refresh(found.values(), user_id)

        async def read(conversation: Document, after: int) -> CatchUp:
            try:
                async with asyncio.timeout(CATCH_UP_TIMEOUT):
                    await self._catch_ups.acquire()
            except TimeoutError:
                raise Unavailable("Too many clients are catching up at once.") from None
            try:
                return await self._catch_up(conversation, after, ObjectId(user_id))
            finally:
                self._catch_ups.release()

        def reader(conversation: Document, after: int) -> Callable[[], Awaitable[CatchUp]]:
            return lambda: read(conversation, after)

        return [(str(key), reader(conversation, revs[str(key)])) for key, conversation in found.items()]

    async def _catch_up(self, conversation: Document, after: int, user_id: ObjectId) -> CatchUp:
        messages, complete = await self._changes_for(str(user_id), conversation, after, SYNC_LIMIT)
        last_rev: int = max(conversation["last_rev"], messages[-1]["rev"] if messages else 0)
        return CatchUp(messages, last_rev, complete, version_of(conversation))

    async def _changes_for(
        self, user_id: str, conversation: Document, after: int, limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return those messages that the participant sees whose last change is later than `after`, and whether these
        are all. Raises NotFound if the user is not a participant any more; Unavailable."""
        start, last_rev = start_of(conversation, user_id), conversation["last_rev"]
        found, complete = await self._changes_since(conversation["_id"], after, last_rev, limit, user_id, start)
        # After the read, and maybe minutes after the call of `catch_up`: a slow client reads one part at a time.
        start = await self._conversations.check_participant(conversation["_id"], ObjectId(user_id))
        if any(document["seq"] <= start for document, _ in found):
            # They have left and joined again meanwhile.
            return await self._changes_for(user_id, conversation | {"starts": {user_id: start}}, after, limit)
        return [message for _, message in found], complete

    async def _changes_since(
        self,
        conversation_id: ObjectId,
        after: int,
        last_rev: int,
        limit: int,
        viewer: str | None = None,
        start: int = 0,
    ) -> tuple[list[tuple[Document, dict[str, Any]]], bool]:
        """Return the messages whose last change is later than `after`, and whether these are all.

        Each as (document, JSON form). Only those whose seq is above `start`; at most `limit`; ends with the message
        that exceeds SYNC_BYTES in total.
        """
        found: list[tuple[Document, dict[str, Any]]] = []
        size = 0
        async with aclosing(self._messages.changes(conversation_id, after, last_rev, start)) as documents:
            async for document in documents:
                if len(found) == limit or size > SYNC_BYTES:
                    return found, False
                message = self._messages.as_json(document, viewer)
                found.append((document, message))
                size += len(dumps(message).encode())
        return found, True

    async def _backfill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        """Return the events of a conversation that follow rev `after`, each with its recipients."""
        conversation_id = ObjectId(topic.removeprefix(events.TOPIC))
        found, _ = await self._changes_since(conversation_id, after, self._dispatcher.last_known(topic), SYNC_LIMIT)
        # Read after the messages: a user who was removed before one was stored is not among these participants.
        head = (await self._conversations.heads([conversation_id])).get(conversation_id)
        if head is None:
            return []
        self._dispatcher.remember_members(topic, head.membership_version, head.participants)
        return [
            _event(
                "new_message" if document[REV_HISTORY][0] > after else "message_updated",
                message,
                head.participants,
                head.hidden_from(document["seq"]),
            )
            for document, message in found
        ]

    async def _latest_rev(self, topic: str) -> int:
        """Return the last rev of a conversation. Raises Unavailable."""
        conversation_id = ObjectId(topic.removeprefix(events.TOPIC))
        head = (await self._conversations.head_versions([conversation_id])).get(conversation_id)
        if head is None:
            return 0
        seq, rev = head.seq, head.rev
        while tail := await self._messages.tail(conversation_id, seq, rev):
            seq = max(seq, *(document["seq"] for document in tail))
            rev = max(rev, *(document["rev"] for document in tail))
        return rev

    # Storing and publishing.

    async def _change(
        self,
        user_id: str,
        conversation_id: str,
        message_id: str,
        apply: Callable[[Document], Document | None],
        *,
        sends: bool = True,
        content: str = "",
    ) -> dict[str, Any]:
        ids = ObjectId(conversation_id), ObjectId(user_id), ObjectId(message_id)
        request = ChangeMessage(*ids, apply, sends, content)
        return (await self._writes.submit(request)).as_seen_by(user_id)

    async def _write(
        self, requests: Sequence[AppendMessage | ChangeMessage], contention: Contention | None
    ) -> Sequence[StoredMessage | Exception]:
        try:
            return await self._append.write(requests, contention)
        except BaseException:
            # Some of the batch may be stored, and nothing of it is published.
            self._reconciler.mark_dirty({request.conversation_id for request in requests}, recheck=True)
            raise

    def _on_written(
        self, requests: Sequence[AppendMessage | ChangeMessage], outcomes: Sequence[StoredMessage | Exception]
    ) -> None:
        """Publish what is stored."""
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, StoredMessage):
                self._write_behind.add(outcome.message, created=isinstance(request, AppendMessage))
                self._announce(outcome)
                if outcome.created:
                    self.on_created(outcome.message)
                if outcome.removed_attachments:
                    self._attachments.remove_later(outcome.removed_attachments)
            elif isinstance(outcome, Unavailable) or not isinstance(outcome, LoaError | Contended):
                # The request may be stored all the same.
                self._reconciler.mark_dirty([request.conversation_id], recheck=True)

    def _announce(self, stored: StoredMessage) -> None:
        conversation_id: ObjectId = stored.message["conversation_id"]
        if stored.event_type:
            event, recipients = _event(stored.event_type, stored.as_json, stored.participants, stored.hidden_from)
            self._dispatcher.publish(event, recipients, room=True, version=stored.version)
        else:
            # A repeated request: the process that stored it may have died before it published the event.
            topic = events.TOPIC + str(conversation_id)
            self._dispatcher.announce_position(
                topic, stored.message["rev"], events.CHANNEL, stored.participants, room=True
            )


def _event(
    type: str, message: dict[str, Any], participants: list[str], hidden_from: frozenset[str]
) -> tuple[Event, list[str]]:
    """Return the event of a new or changed message, and its recipients: those of the participants who see it."""
    if hidden_from:
        participants = [user_id for user_id in participants if user_id not in hidden_from]
    return events.message(type, message, hidden_from), participants


def _check_own(document: Document, user_id: str) -> None:
    if document["sender_id"] != ObjectId(user_id):
        raise Forbidden("The message is someone else's.")
    _check_changeable(document)


def _check_changeable(document: Document) -> None:
    if is_system(document):
        raise Forbidden("The message says what has happened in the group; nobody changes it.")
    if document["deleted"]:
        raise Forbidden("The message has been deleted.")
