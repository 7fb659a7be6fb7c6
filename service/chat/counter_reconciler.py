"""Repair of conversation counters after interrupted writes."""

import asyncio
import uuid
from collections.abc import Collection
from contextlib import suppress

from bson import ObjectId

from service.chat import events
from service.chat.conversation_store import ConversationStore, CounterUpdate
from service.chat.message_store import MessageStore
from service.chat.writer_checkpoints import CHECKPOINT_INTERVAL, WriterCheckpoints
from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, retry_until_done, run_forever
from service.realtime.dispatcher import Dispatcher

MAX_DIRTY = 10_000


class CounterReconciler:
    """Makes sure that every stored message is counted in its conversation and that connected clients learn of it.

    Usually WriteBehind counts a stored message and its event announces it. If something ends in between (the process,
    or the database's reply), nobody knows whether both happened. Three steps repair that:

    - A conversation is marked *dirty* if a write to it ended without a known outcome, or if its counters could not be
      written.
    - `_reconcile` takes each dirty conversation, raises its counters to what is stored, and announces the last rev, so
      that clients fetch what they have missed.
    - `_recover` runs once at start, for processes that died: their checkpoints say when messages were stored that may
      not be counted. It marks the conversations of those times dirty. A process with dirty conversations writes no
      checkpoint, so another one would find them if it died.
    """

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        checkpoints: WriterCheckpoints,
        dispatcher: Dispatcher,
    ) -> None:
        self._conversations = conversations
        self._messages = messages
        self._checkpoints = checkpoints
        self._dispatcher = dispatcher
        self._process_id = uuid.uuid4().hex
        self._dirty: set[ObjectId] = set()
        self._wake_up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run()),
            asyncio.create_task(run_forever(self._write_checkpoint, "chat_checkpoint")),
        ]

    def mark_dirty(self, conversation_ids: Collection[ObjectId]) -> None:
        """Reconcile these conversations soon. Beyond MAX_DIRTY they are ignored: their next message corrects them."""
        for conversation_id in conversation_ids:
            if len(self._dirty) < MAX_DIRTY:
                self._dirty.add(conversation_id)
        self._wake_up.set()

    async def stop(self) -> None:
        for task in self._tasks:
            await cancel_and_wait(task)

    async def remove_checkpoint(self) -> None:
        """To be called at the end of an orderly shutdown. With dirty conversations left the checkpoint stays."""
        if self._tasks and not self._dirty:
            with suppress(Unavailable):
                await self._checkpoints.remove(self._process_id)

    async def _run(self) -> None:
        await retry_until_done(self._recover, "chat_recover")
        await run_forever(self._reconcile, "chat_reconcile")

    async def _write_checkpoint(self) -> None:
        if not self._dirty:
            await self._checkpoints.checkpoint(self._process_id)
        await asyncio.sleep(CHECKPOINT_INTERVAL.total_seconds())

    async def _recover(self) -> None:
        for since, until in await self._checkpoints.recovery_windows():
            self.mark_dirty(await self._messages.conversations_between(since, until))
            while self._dirty:
                await self._reconcile()
        await self._checkpoints.prune()

    async def _reconcile(self) -> None:
        """Wait for dirty conversations and reconcile all of them. Raises Unavailable; the rest stay dirty."""
        await self._wake_up.wait()
        while self._dirty:
            # Removed before it is read: it may become dirty again in the meantime.
            conversation_id = self._dirty.pop()
            try:
                await self._reconcile_one(conversation_id)
            except BaseException:
                self._dirty.add(conversation_id)
                raise
        self._wake_up.clear()

    async def _reconcile_one(self, conversation_id: ObjectId) -> None:
        head = (await self._conversations.heads([conversation_id])).get(conversation_id)
        if head is None:
            return
        tail = await self._messages.tail(conversation_id, head.seq, head.rev)
        if tail:
            await self._conversations.apply_counters({conversation_id: CounterUpdate.from_messages(tail)})
        rev = max([head.rev, *(document["rev"] for document in tail)])
        self._dispatcher.announce_position(events.TOPIC + str(conversation_id), rev, events.CHANNEL, head.participants)
