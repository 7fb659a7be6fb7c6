"""Repair of conversation counters and lost events after interrupted writes."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from bson import ObjectId

from service.chat import events
from service.chat.conversation_store import ConversationStore
from service.chat.counter_update import CounterUpdate
from service.chat.message_store import MessageStore
from service.chat.writer_checkpoints import CHECKPOINT_INTERVAL, MARGIN, WriterCheckpoints
from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure, retry_until_done, run_forever
from service.common.times import now
from service.realtime.dispatcher import Dispatcher

MAX_DIRTY = 10_000
"""Dirty conversations held in memory. If there are more, only the time is held: the database finds what was written
since then."""
RECHECK_DELAY = 30.0
"""Seconds after which a conversation whose write had no known outcome is reconciled again. The database may carry the
write out after the driver has given up on it, which takes ten seconds."""
MAX_FAILURES = 3
"""The reconciler pauses after so many failures in a row; fewer do not hold up other conversations."""


class CounterReconciler:
    """Makes sure that every stored message is counted in its conversation and that connected clients learn of it.

    Usually WriteBehind counts a stored message and its event announces it. If something ends in between (the process,
    or the database's reply), nobody knows whether both happened. Three steps repair that:

    - A conversation is marked *dirty* if a write to it ended without a known outcome, or if its counters could not be
      written.
    - `_reconcile` takes each dirty conversation, raises its counters to what is stored, and announces the last rev, so
      that clients fetch what they have missed.
    - Recovery does the same for processes that died, at the start for all that may have, and later whenever the
      checkpoint of one is no longer renewed. Checkpoints say in which time a process may have left something, and the
      database finds the conversations with messages that were created or changed in that time. While a process has
      dirty conversations its checkpoint stays at the time before them, so another one would find them if it died.
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
        self._complete_until = now()
        self._dirty: set[ObjectId] = set()
        self._rechecks: deque[tuple[float, ObjectId]] = deque()
        """With the time (of the monotonic clock) at which each is due, ascending."""
        self._overflow_since: datetime | None = None
        """Conversations that became dirty since then did not fit into `_dirty`."""
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run()),
            asyncio.create_task(run_forever(self._write_checkpoint, "chat_checkpoint")),
        ]

    def mark_dirty(self, conversation_ids: Collection[ObjectId], *, recheck: bool = False) -> None:
        """Reconcile these conversations soon, and if `recheck`, again later: a write may still be carried out."""
        for conversation_id in conversation_ids:
            if len(self._dirty) + len(self._rechecks) >= MAX_DIRTY:
                self._overflow_since = self._overflow_since or now()
                break
            self._dirty.add(conversation_id)
            if recheck:
                self._rechecks.append((time.monotonic() + RECHECK_DELAY, conversation_id))
        self._wake.set()

    @property
    def is_complete(self) -> bool:
        """Whether no conversation is dirty."""
        return not (self._dirty or self._rechecks or self._overflow_since)

    async def stop(self) -> None:
        for task in self._tasks:
            await cancel_and_wait(task)

    async def remove_checkpoint(self) -> None:
        """Remove this process's checkpoint at the end of an orderly shutdown, unless a conversation is still dirty."""
        if self._tasks and self.is_complete:
            with suppress(Unavailable):
                await self._checkpoints.remove(self._process_id)

    async def _run(self) -> None:
        await retry_until_done(self._recover_at_start, "chat_recover")
        await run_forever(self._reconcile, "chat_reconcile")

    async def _write_checkpoint(self) -> None:
        if self.is_complete:
            self._complete_until = now()
        await self._checkpoints.write(self._process_id, self._complete_until)
        await self._recover_dead()
        await asyncio.sleep(CHECKPOINT_INTERVAL.total_seconds())

    async def _recover_at_start(self) -> None:
        """Recover what processes may have left that died a minute or days ago."""
        for checkpoint in await self._checkpoints.all():
            await self._recover(*checkpoint.window)
        await self._recover(now() - MARGIN, now() + MARGIN)

    async def _recover_dead(self) -> None:
        """Recover what dead processes have left: if their machine died, no process starts in their place."""
        for checkpoint in await self._checkpoints.dead():
            if checkpoint.process_id != self._process_id:
                await self._recover(*checkpoint.window)
                await self._checkpoints.remove(checkpoint.process_id)

    async def _recover(self, since: datetime, until: datetime) -> None:
        """Reconcile every conversation that was written to in that time. Raises Unavailable."""
        async for conversation_ids in self._messages.conversations_written(since, until):
            for conversation_id in conversation_ids:
                try:
                    await self._reconcile_one(conversation_id)
                except Unavailable:
                    raise
                except Exception:
                    # It is tried again by `_reconcile`, and does not hold up the others.
                    count_failure("chat_recover")
                    self.mark_dirty([conversation_id])

    async def _reconcile(self) -> None:
        """Wait for dirty conversations and reconcile them. Those that fail stay dirty; the last error is raised."""
        self._mark_due_dirty()
        if not self._dirty and self._overflow_since is None:
            timeout = self._rechecks[0][0] - time.monotonic() if self._rechecks else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout)
            self._wake.clear()
            return
        failures = 0
        failure: Exception | None = None
        for conversation_id in list(self._dirty):
            # Removed before it is read: it may become dirty again in the meantime.
            self._dirty.discard(conversation_id)
            try:
                await self._reconcile_one(conversation_id)
                failures = 0
            except Exception as error:
                self._dirty.add(conversation_id)
                failure = error
                failures += 1
                if failures >= MAX_FAILURES:
                    raise
            except BaseException:
                self._dirty.add(conversation_id)
                raise
        if self._overflow_since is not None:
            since, self._overflow_since = self._overflow_since, None
            try:
                await self._recover(since - MARGIN, now() + MARGIN)
            except BaseException:
                self._overflow_since = min(since, self._overflow_since or since)
                raise
        if failure:
            raise failure

    def _mark_due_dirty(self) -> None:
        """Mark as dirty the conversations that are due to be reconciled again."""
        while self._rechecks and self._rechecks[0][0] <= time.monotonic():
            self._dirty.add(self._rechecks.popleft()[1])

    async def _reconcile_one(self, conversation_id: ObjectId) -> None:
        head = (await self._conversations.heads([conversation_id])).get(conversation_id)
        if head is None:
            return
        while tail := await self._messages.tail(conversation_id, head.seq, head.rev):
            await self._conversations.apply_counters({conversation_id: CounterUpdate.from_messages(tail)})
            for document in tail:
                head.advance(document["seq"], document["rev"])
        topic = events.TOPIC + str(conversation_id)
        self._dispatcher.announce_position(topic, head.rev, events.CHANNEL, head.participants, room=True)
