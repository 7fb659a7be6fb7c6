"""The use cases of messages: say, change, read back. Persist, then publish: never the other way round."""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

import structlog
from bson import ObjectId

from service.chat import events
from service.chat.append import Append, Change, Draft, Stored
from service.chat.conversation_store import ConversationStore, seq_of
from service.chat.counter_reader import CounterReader
from service.chat.emoji import reaction
from service.chat.head_cache import HeadCache
from service.chat.message_store import MessageStore, message_of
from service.chat.write_behind import WriteBehind, touch_of
from service.chat.writer_checkpoints import MARK_EVERY, WriterCheckpoints
from service.common.encoding import dumps
from service.common.errors import Forbidden, Unavailable, ValidationFailed
from service.common.tasks import cancel_and_wait, retry_until_done, run_forever
from service.common.times import now
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import Document
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event

log = structlog.get_logger()

MAX_EMOJIS = 50
"""Different reactions to one message."""
SYNC_LIMIT = 500
SYNC_BYTES = 384 * 1024
"""What was missed is read up to the message that goes over this: a longer `sync` would find no room in a connection's
queue."""
RECOVERIES = 8
"""Reads of what was missed that are under way at a time: each takes a megabyte or two, and after a restart everybody
wants one."""
CATCH_UP_TIMEOUT = 10.0
"""Seconds to wait for one's turn; then it is better to be told to come back."""
MAX_UNSETTLED = 10_000

TOMBSTONE: Document = {"content": "", "reactions": {}, "deleted": True}
"""What is left of a deleted message, besides its place."""


class Page(NamedTuple):
    """Messages and the cursor of the next page."""

    items: list[dict[str, Any]]
    next: int | None


class Missed(NamedTuple):
    """What a client that was away has missed of one conversation."""

    messages: list[dict[str, Any]]
    last_rev: int
    complete: bool


class MessageService:
    """Messages: stored by group commit, then announced to all participants, then acknowledged; their conversation's
    numbers are raised behind.

    Whatever ends between the storing and the raising (the process, the database's answer) leaves a conversation
    *unsettled*: its numbers are raised and announced by `_settle`, so that whoever is connected hears of it. Which ones
    a dead process has left is found by the marks that the living set.
    """

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        writers: WriterCheckpoints,
        dispatcher: Dispatcher,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """`on_batch` is told how many messages and changes each write takes."""
        self._conversations = conversations
        self._messages = messages
        self._writers = writers
        self._dispatcher = dispatcher
        self._freshness = CounterReader(messages, dispatcher.last_known)
        self._append = Append(HeadCache(conversations, messages, dispatcher.last_known), messages)
        self._behind = WriteBehind(conversations, self._unsettle)
        self._commits: Batcher[Draft | Change, Stored] = Batcher(self._write, timeout=BATCH_TIMEOUT, on_batch=on_batch)
        self._recoveries = asyncio.Semaphore(RECOVERIES)
        self._unsettled: set[ObjectId] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._process_id = uuid.uuid4().hex
        dispatcher.set_backfill(events.TOPIC, self._fill)

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._settle_all()),
            asyncio.create_task(run_forever(self._mark, "chat_mark")),
        ]

    async def close(self) -> None:
        await self._commits.close()
        for task in self._tasks:
            await cancel_and_wait(task)
        await self._behind.close()
        if self._tasks and not self._unsettled:
            with suppress(Unavailable):
                await self._writers.leave(self._process_id)

    async def flush_counters(self) -> bool:
        """Return once all that this process has stored is counted in its conversation, or cannot be; whether anything
        was not."""
        return await self._behind.flush()

    # Saying and changing.

    def submit(
        self, user_id: str, conversation_id: str, content: str, nonce: str | None = None, reply_to: str | None = None
    ) -> "asyncio.Future[Stored]":
        """Hand in a message; what one caller hands in is stored in that order.

        The future gives what is stored, or raises NotFound, NonceReused, ValidationFailed (`reply_to`), Unavailable.
        """
        draft = Draft(
            ObjectId(conversation_id), ObjectId(user_id), content, nonce, ObjectId(reply_to) if reply_to else None
        )
        return self._commits.submit(draft)

    async def send(
        self, user_id: str, conversation_id: str, content: str, nonce: str | None = None, reply_to: str | None = None
    ) -> tuple[dict[str, Any], bool]:
        """As `submit`: the Message, and whether it is new."""
        stored = await self.submit(user_id, conversation_id, content, nonce, reply_to)
        return stored.shown, bool(stored.event)

    async def edit(self, user_id: str, conversation_id: str, message_id: str, content: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden (someone else's, or deleted), Unavailable."""

        def apply(document: Document) -> Document | None:
            _check_own(document, user_id)
            return None if document["content"] == content else {"content": content, "edited_at": now()}

        return await self._change(user_id, conversation_id, message_id, apply)

    async def delete(self, user_id: str, conversation_id: str, message_id: str) -> dict[str, Any]:
        """Leave a tombstone. Repeatable. Raises NotFound, Forbidden (someone else's), Unavailable."""

        def apply(document: Document) -> Document | None:
            if document["deleted"] and document["sender_id"] == ObjectId(user_id):
                return None
            _check_own(document, user_id)
            return TOMBSTONE

        return await self._change(user_id, conversation_id, message_id, apply)

    async def react(
        self, user_id: str, conversation_id: str, message_id: str, emoji: str, *, on: bool
    ) -> dict[str, Any]:
        """Set or take back a reaction. Repeatable. Raises NotFound, Forbidden (deleted), ValidationFailed."""
        emoji = reaction(emoji)

        def apply(document: Document) -> Document | None:
            if document["deleted"]:
                raise Forbidden("The message has been deleted.")
            reactions: dict[str, list[str]] = document["reactions"]
            who = reactions.get(emoji, [])
            if (user_id in who) is on:
                return None
            if on and not who and len(reactions) >= MAX_EMOJIS:
                raise ValidationFailed.of("emoji", f"A message has at most {MAX_EMOJIS} different reactions.")
            who = [*who, user_id] if on else [other for other in who if other != user_id]
            others = {other: users for other, users in reactions.items() if other != emoji}
            return {"reactions": {**others, emoji: who} if who else others}

        return await self._change(user_id, conversation_id, message_id, apply)

    async def erase(self, user_id: str, conversation_id: str, message_id: str) -> None:
        """On the operator's word: leave a tombstone of a message of this user's, and of another's take their reactions.

        Repeatable. Raises NotFound, Unavailable.
        """

        def apply(document: Document) -> Document | None:
            if document["sender_id"] == ObjectId(user_id):
                return None if document["deleted"] else TOMBSTONE
            kept = {emoji: [one for one in who if one != user_id] for emoji, who in document["reactions"].items()}
            kept = {emoji: who for emoji, who in kept.items() if who}
            return None if kept == document["reactions"] else {"reactions": kept}

        await self._commits.submit(Change(ObjectId(conversation_id), None, ObjectId(message_id), apply))

    # Reading back.

    async def history(self, user_id: str, conversation_id: str, before: int | None, limit: int) -> Page:
        """A page of history, ascending by seq: the newest, or the one `before` that seq. Raises NotFound."""
        conversation = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        await self._freshness.refresh([conversation])
        end = seq_of(conversation) if before is None else min(before - 1, seq_of(conversation))
        first = max(1, end - limit + 1)
        documents = await self._messages.range(conversation["_id"], first, end) if end else []
        return Page([message_of(document) for document in documents], first if first > 1 and documents else None)

    async def changes(self, user_id: str, conversation_id: str, after_rev: int, limit: int) -> Page:
        """Every message whose last change is later than `after_rev`, ascending. Raises NotFound, Unavailable."""
        conversation = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        found, complete = await self._later(conversation["_id"], after_rev, conversation["last_rev"], limit)
        page = [message for _, message in found]
        return Page(page, None if complete else page[-1]["rev"])

    async def missed(self, user_id: str, revs: Mapping[str, int]) -> "list[tuple[str, Callable[[], Any]]]":
        """For each of the conversations a way to read what was missed (a Missed), one at a time: together they could
        be more than there is memory for. One in which the user takes no part is left out. Raises Unavailable."""
        found = await self._conversations.get_many({ObjectId(key) for key in revs}, ObjectId(user_id))
        await self._freshness.refresh(found.values())

        async def read(conversation: Document, after: int) -> Missed:
            try:
                async with asyncio.timeout(CATCH_UP_TIMEOUT):
                    await self._recoveries.acquire()
            except TimeoutError:
                raise Unavailable("Too many are catching up at once.") from None
            try:
                return await self._missed(conversation, after)
            finally:
                self._recoveries.release()

        def reader(conversation: Document, after: int) -> Callable[[], Any]:
            return lambda: read(conversation, after)

        return [(str(key), reader(conversation, revs[str(key)])) for key, conversation in found.items()]

    async def _missed(self, conversation: Document, after: int) -> Missed:
        last_rev: int = conversation["last_rev"]
        found, complete = await self._later(conversation["_id"], after, last_rev, SYNC_LIMIT)
        messages = [message for _, message in found]
        if messages:
            last_rev = max(last_rev, messages[-1]["rev"])
        return Missed(messages, last_rev, complete)

    async def _later(
        self, conversation_id: ObjectId, after: int, last_rev: int, limit: int
    ) -> tuple[list[tuple[Document, dict[str, Any]]], bool]:
        """At most `limit` messages whose last change is later than `after`, and of no more than SYNC_BYTES and one
        message, each as it is stored and as it is shown; whether these are all."""
        found: list[tuple[Document, dict[str, Any]]] = []
        size = 0
        async with aclosing(self._messages.changes(conversation_id, after, last_rev)) as documents:
            async for document in documents:
                if len(found) == limit or size > SYNC_BYTES:
                    return found, False
                message = message_of(document)
                found.append((document, message))
                size += len(dumps(message).encode())
        return found, True

    # Storing and announcing.

    async def _change(
        self, user_id: str, conversation_id: str, message_id: str, apply: Callable[[Document], Document | None]
    ) -> dict[str, Any]:
        change = Change(ObjectId(conversation_id), ObjectId(user_id), ObjectId(message_id), apply)
        return (await self._commits.submit(change)).shown

    async def _write(self, items: Sequence[Draft | Change]) -> Sequence[Stored | Exception]:
        try:
            outcomes = await self._append.write(items)
        except BaseException:
            # Some of it may be stored, and nobody has been told.
            self._unsettle(item.conversation_id for item in items)
            raise
        for outcome in outcomes:
            if isinstance(outcome, Stored) and outcome.event:
                self._behind.add(outcome.message, new=outcome.event == "new_message")
                self._dispatcher.publish(events.message(outcome.event, outcome.shown), outcome.participants)
        return outcomes

    # Settling.

    def _unsettle(self, conversation_ids: Any) -> None:
        for conversation_id in conversation_ids:
            if len(self._unsettled) < MAX_UNSETTLED:
                self._unsettled.add(conversation_id)
        self._wake.set()

    async def _settle_all(self) -> None:
        await retry_until_done(self._look_back, "chat_look_back")
        await run_forever(self._settle, "chat_settle")

    async def _mark(self) -> None:
        if not self._unsettled:
            await self._writers.mark(self._process_id)
        await asyncio.sleep(MARK_EVERY.total_seconds())

    async def _look_back(self) -> None:
        for since, until in await self._writers.spans():
            self._unsettle(await self._messages.conversations_between(since, until))
            while self._unsettled:
                await self._settle()
        await self._writers.forget_dead()

    async def _settle(self) -> None:
        """Raise and announce the numbers of the unsettled conversations, from what is stored."""
        await self._wake.wait()
        while self._unsettled:
            # Out of the set first: one that is unsettled anew meanwhile is to be looked at again.
            conversation_id = self._unsettled.pop()
            try:
                await self._settle_one(conversation_id)
            except BaseException:
                self._unsettled.add(conversation_id)
                raise
        self._wake.clear()

    async def _settle_one(self, conversation_id: ObjectId) -> None:
        place = (await self._conversations.places([conversation_id])).get(conversation_id)
        if place is None:
            return
        tail = await self._messages.tail(conversation_id, place.seq, place.rev)
        if tail:
            await self._conversations.apply_counters({conversation_id: touch_of(tail)})
        rev = max([place.rev, *(document["rev"] for document in tail)])
        self._dispatcher.announce_position(events.TOPIC + str(conversation_id), rev, events.CHANNEL, place.participants)

    async def _fill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        conversation_id = ObjectId(topic.removeprefix(events.TOPIC))
        place = (await self._conversations.places([conversation_id])).get(conversation_id)
        if place is None:
            return []
        found, _ = await self._later(conversation_id, after, place.rev, SYNC_LIMIT)
        return [
            (
                events.message("new_message" if document["claims"][0] > after else "message_updated", message),
                place.participants,
            )
            for document, message in found
        ]


def _check_own(document: Document, user_id: str) -> None:
    if document["sender_id"] != ObjectId(user_id):
        raise Forbidden("The message is someone else's.")
    if document["deleted"]:
        raise Forbidden("The message has been deleted.")
