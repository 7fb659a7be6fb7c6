"""Announcements of changed conversations to their participants, with a transactional outbox."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from bson import ObjectId

from service.chat import events
from service.chat.conversation_store import ConversationStore, is_listed, seq_of, version_of
from service.chat.group_change import UNANNOUNCED, UNANNOUNCED_REMOVALS
from service.chat.members import (
    Roles,
    read_marks_of,
    read_of,
    shows_read_marks,
    start_of,
)
from service.chat.mention_counter import MentionCounter
from service.chat.message_store import visible
from service.chat.settings_store import NONE, SettingsStore, settings_json
from service.chat.unread_counter import UnreadCounter
from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, run_forever
from service.common.times import now
from service.datastores.mongo import Document
from service.realtime.dispatcher import MAX_ADDRESSED, Dispatcher

RECOVERY_INTERVAL = 10.0
"""Seconds between two searches for changes that a killed process did not announce."""
RECOVERY_AGE = timedelta(seconds=2)
"""Younger changes are usually being announced by the process that made them. Announcing twice is harmless."""
RECOVERY_BATCH = 200
CLEAR_DELAY = 1.0
"""Seconds that announced conversations are collected before their marks are removed together. By then the bus has sent
the events, unless Redis is unavailable; in that case all clients get a `reset` as soon as it is available again."""
MAX_ATTEMPTS = 10
"""Attempts to announce a conversation that others keep changing, before the announcement is left to the background."""


class ConversationAnnouncer:
    """Publishes a conversation to its participants after each change of title or participants, and appends the system
    messages that say so. Both are done before the change is acknowledged.

    A mark is stored in the conversation's document together with the change, and removed only after the announcement.
    If the announcement fails, it is repeated in the background; if the process is killed, any other process finds the
    mark. Announcing twice is harmless, because each announcement is the whole present state.

    Participants are read before and after all else that an announcement contains. So a user who was removed meanwhile
    gets nothing of it, and a user who was added learns of every message that was not sent to them: a message whose
    recipients were read before they were added had been stored before, and is among the counters.
    """

    def __init__(
        self,
        conversations: ConversationStore,
        dispatcher: Dispatcher,
        unread: UnreadCounter,
        complete: Callable[[Document], Awaitable[None]],
        render: Callable[[Document], Awaitable[dict[str, Any]]],
        settings: SettingsStore,
        mentions: MentionCounter,
        on_removed: Callable[[Collection[str]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`complete(document)` does what the changes of the conversation have left to do: append their system messages.
        `render(document)` returns the conversation with all stored messages, without what is different for each
        participant, and brings the counters of `document` up to date. `on_removed(user_ids)` is called with users who
        are no participants any more."""
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._unread = unread
        self._complete = complete
        self._render = render
        self._settings = settings
        self._mentions = mentions
        self._on_removed = on_removed
        self._clock = clock
        self._retries: set[ObjectId] = set()
        self._announced: dict[ObjectId, int] = {}
        """Announced conversations that are still marked, with the version."""
        self._turns: WeakValueDictionary[ObjectId, asyncio.Lock] = WeakValueDictionary()
        self._recovery_due = 0.0
        self._clearing_due = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._recovery_due = self._clock()
        self._task = asyncio.create_task(run_forever(self._step, "conversation_announcer"))

    async def close(self) -> None:
        await cancel_and_wait(self._task)
        with suppress(Unavailable):
            await self._clear_marks()

    async def announce(self, document: Document) -> None:
        """Publish a conversation that was just changed. Raises Unavailable; it is then published in the background."""
        conversation_id: ObjectId = document["_id"]
        try:
            await self._announce_in_turn(document)
        except BaseException:
            self.retry(conversation_id)
            raise

    def retry(self, conversation_id: ObjectId) -> None:
        """Announce the conversation in the background, if it is marked."""
        self._retries.add(conversation_id)
        self._wake.set()

    async def announce_if_marked(self, document: Document) -> None:
        """Publish a conversation if it has a change that may not have been published.

        For a request that finds its work done: it may be repeated because the first one could not announce its change.
        Raises Unavailable; it is then published in the background.
        """
        if UNANNOUNCED in document:
            await self.announce(document)

    async def reannounce(self, conversation_id: ObjectId) -> None:
        """Read the conversation, and publish it as in `announce_if_marked`."""
        try:
            document = await self._conversations.find(conversation_id)
        except BaseException:
            self.retry(conversation_id)
            raise
        if document is not None:
            await self.announce_if_marked(document)

    async def _announce_in_turn(self, document: Document) -> None:
        """Announce, unless a later state of the conversation was announced while this waited for its turn. So if many
        join or leave at once, their changes share a few announcements to thousands."""
        conversation_id: ObjectId = document["_id"]
        # Kept only as long as somebody waits for it.
        lock = self._turns.setdefault(conversation_id, asyncio.Lock())
        waited = lock.locked()
        async with lock:
            if not (waited and self._announced.get(conversation_id, -1) >= version_of(document)):
                await self._announce(document)

    async def _announce(self, document: Document) -> None:
        conversation_id: ObjectId = document["_id"]
        for _ in range(MAX_ATTEMPTS):
            await self._complete(document)
            document = await self._conversations.complete(document)
            conversation = await self._render(document) if document["participants"] else None
            marks = {_shown_mark(document, member) for member in document["participants"]}
            unread = await self._unread.counts(document, [mark for mark in marks if mark is not None])
            own = await self._own_of(document)
            current = (await self._conversations.head_versions([conversation_id])).get(conversation_id)
            if current is None:
                return
            if current.version == version_of(document):
                self._publish(document, conversation, unread, own)
                return
            found = await self._conversations.find(conversation_id)
            if found is None:
                return
            document = found
        self.retry(conversation_id)

    async def _own_of(self, document: Document) -> Mapping[ObjectId, dict[str, Any]] | None:
        """Return what the participants have set, and the counts of messages that mention them; None if they are so many
        that the announcement shows none of it."""
        if not shows_read_marks(document):
            return None
        members = document["participants"]
        settings = await self._settings.of_conversation(document["_id"], members)
        mentions = await self._mentions.counts(document, {member: read_of(document, member) for member in members})
        return {
            member: settings_json(settings.get(member, NONE), seq_of(document)) | {"mention_count": mentions[member]}
            for member in members
        }

    def _publish(
        self,
        document: Document,
        conversation: dict[str, Any] | None,
        unread: Mapping[int, int],
        own: Mapping[ObjectId, dict[str, Any]] | None,
    ) -> None:
        participants = document["participants"]
        version = version_of(document)
        removed = set(document.get(UNANNOUNCED_REMOVALS, ())).difference(participants)
        if removed:
            event = events.conversation_removed(str(document["_id"]), version)
            self._dispatcher.publish(event, [str(user_id) for user_id in removed])
            self._on_removed([str(user_id) for user_id in removed])
        if conversation is not None:
            # The others learn of it with the first message.
            recipients = [member for member in participants if is_listed(document, member)]
            for personal, members in _personal(document, conversation, recipients, unread, own):
                event = events.conversation_updated(personal, version)
                is_room = len(participants) > MAX_ADDRESSED
                self._dispatcher.publish(event, members, position=document["last_rev"], room=is_room)
        if not self._announced:
            self._clearing_due = self._clock() + CLEAR_DELAY
        self._announced[document["_id"]] = version
        self._wake.set()

    async def _step(self) -> None:
        moment = self._clock()
        if self._announced and moment >= self._clearing_due:
            await self._clear_marks()
        elif moment >= self._recovery_due:
            # Jitter, so that several processes rarely recover the same conversations at the same time.
            self._recovery_due = moment + random.uniform(0.75, 1.25) * RECOVERY_INTERVAL  # noqa: S311
            await self._recover()
        elif self._retries:
            await self._announce_stored(list(self._retries))
        else:
            self._wake.clear()
            due = min(self._recovery_due, self._clearing_due) if self._announced else self._recovery_due
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), due - moment)

    async def _recover(self) -> None:
        found = await self._conversations.unannounced(now() - RECOVERY_AGE, RECOVERY_BATCH)
        try:
            await self._announce_stored(found)
        finally:
            await self._clear_marks()
        if len(found) == RECOVERY_BATCH:
            self._recovery_due = self._clock()

    async def _announce_stored(self, conversation_ids: Collection[ObjectId]) -> None:
        """Announce those of the conversations that are marked. One that fails does not hold up the others.

        Raises the last failure; Unavailable at once, because the others would fail in the same way.
        """
        failure: Exception | None = None
        for conversation_id in conversation_ids:
            try:
                self._retries.discard(conversation_id)
                await self.reannounce(conversation_id)
            except Unavailable:
                raise
            except Exception as error:
                failure = error
        if failure:
            raise failure

    async def _clear_marks(self) -> None:
        announced, self._announced = self._announced, {}
        if announced:
            await self._conversations.clear_unannounced(announced)


def _personal(
    document: Document,
    conversation: dict[str, Any],
    recipients: Sequence[ObjectId],
    unread: Mapping[int, int],
    own: Mapping[ObjectId, dict[str, Any]] | None,
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the conversation as the recipients see it: to each as a copy of their own if they are shown each other's
    read marks, else the same to all of them who have the same role, are shown the same read mark, or none, and see the
    last message, or do not."""
    roles = Roles(document)
    last_message = conversation["last_message"]
    groups: dict[Any, list[ObjectId]] = {}
    for member in recipients:
        sees_last = visible(last_message, start_of(document, member)) is not None
        view = member if shows_read_marks(document) else (roles.of(member), _shown_mark(document, member), sees_last)
        groups.setdefault(view, []).append(member)
    for members in groups.values():
        mark = _shown_mark(document, members[0])
        personal = {
            "role": roles.of(members[0]),
            "last_message": visible(last_message, start_of(document, members[0])),
            "last_read_seq": mark,
            "unread_count": None if mark is None else unread[mark],
            "read_marks": read_marks_of(document, members[0]),
        }
        personal |= own[members[0]] if own else {"muted_until": None, "archived": None, "mention_count": None}
        yield conversation | personal, [str(member) for member in members]


def _shown_mark(document: Document, member: ObjectId) -> int | None:
    """Return the read mark that the announcement shows to `member`, or None if it shows them none.

    In a group of thousands, an announcement for every read mark would be thousands of announcements. Only the clients
    of users who were just added have to learn theirs, and these have that of the newest participant.
    """
    mark = read_of(document, member)
    if shows_read_marks(document) or mark == read_of(document, document["participants"][-1]):
        return mark
    return None
