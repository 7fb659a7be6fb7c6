"""Notifications: storing and publishing, listing, marking as read, and replay for reconnecting clients."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId

from service.common.errors import NonceReused, NotFound
from service.common.profiles import Profile, Profiles
from service.common.tasks import cancel_and_wait, run_forever
from service.datastores.batcher import Batcher
from service.datastores.mongo import Document
from service.datastores.sequenced_log import Appended
from service.notifications.inbox_service import InboxService
from service.notifications.inbox_store import Inbox, InboxStore
from service.notifications.models import (
    CHANNEL,
    CustomNotification,
    DeletedNotification,
    Notification,
    NotificationPage,
    NotificationRequest,
    PostNotification,
    ReactionNotification,
    Sender,
)
from service.notifications.notification_json import notification_json, sender_json
from service.notifications.notification_store import NotificationStore
from service.notifications.number_set import NumberSet
from service.notifications.preference_service import PreferenceService
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event

TOPIC_PREFIX = "n:"
BACKFILL_LIMIT = 200
"""Notifications per read that fills a gap in the events that this process received."""
MAX_REPLAY = 1000
"""Notifications. A client that missed more is reset, and reads the list page by page instead."""
REPLAY_BATCH = 32
"""Connections whose replays are read together."""
REPLAY_INTERVAL = 0.01
"""Seconds between the starts of two reads, at least, unless the second is for so many connections."""
HINT_STEP = 32
"""Every so many notifications of a user, the last number is stored as a hint: to store those of a thousand users takes
the embedded database as long as to store their notifications. Without one, a reader of the inbox looks at up to that
many numbers more."""
HINT_DELAY = 10.0
"""Seconds for which the hints of users are collected before they are stored together."""


class Replay(NamedTuple):
    """What a client missed. With a `reset_reason`, `missed` is empty and the client must fetch the list instead."""

    inbox: Inbox
    missed: list[Event]
    reset_reason: str | None = None


class Missed(NamedTuple):
    """As in Replay: stored notifications, and the user's last number."""

    last_seq: int
    documents: Sequence[Document] = ()
    reset_reason: str | None = None


class NotificationService:
    """Stores every change before it publishes it. All ids are strings of 24 hex digits. Methods raise Unavailable."""

    def __init__(
        self,
        store: NotificationStore,
        inbox_store: InboxStore,
        inboxes: InboxService,
        preferences: PreferenceService,
        profiles: Profiles,
        dispatcher: Dispatcher,
        on_stored: Callable[[str, Inbox], None],
    ) -> None:
        """`on_stored(user_id, inbox)` is called after notifications of a user were stored and published."""
        self._store = store
        self._inbox_store = inbox_store
        self._inboxes = inboxes
        self._preferences = preferences
        self._profiles = profiles
        self._dispatcher = dispatcher
        self._on_stored = on_stored
        self._pending_hints: dict[ObjectId, int] = {}
        """The last numbers of users whose hint waits to be stored."""
        self._hints_wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # After a restart all clients reconnect at once: those that arrive during one read share the next.
        self._replays: Batcher[tuple[str, int | None], Replay] = Batcher(
            self._read_replays, max_batch=REPLAY_BATCH, interval=REPLAY_INTERVAL
        )
        dispatcher.set_backfill(TOPIC_PREFIX, self.backfill)

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._flush_later, "notification_hints"))

    async def close(self) -> None:
        """Hints that are not stored yet only make the next read of an inbox longer."""
        await self._replays.close()
        await cancel_and_wait(self._task)

    async def notify(self, requests: Sequence[NotificationRequest]) -> list[Exception | None]:
        """Store each notification that its user wants, and publish it to them.

        Returns, for each request, None or the error that prevented storing it: NonceReused if its key was used for
        another content. Can be repeated with the same requests, after any outcome. Raises Unavailable if the
        outcomes are unknown.
        """
        preferences = await self._preferences.of_users({request.user_id for request in requests})
        wanted = [request for request in requests if preferences[request.user_id].kind(request.type).in_app]
        errors = iter(await self._store_and_publish(wanted) if wanted else ())
        return [
            next(errors) if preferences[request.user_id].kind(request.type).in_app else None for request in requests
        ]

    async def _store_and_publish(self, requests: Sequence[NotificationRequest]) -> list[Exception | None]:
        profiles = {request.sender.id: request.sender for request in requests if request.sender}
        appends = [self._store.append(request) for request in requests]
        loaded, outcomes = await asyncio.gather(
            self._inboxes.recent.load({request.user_id for request in requests}),
            asyncio.gather(*appends, return_exceptions=True),
        )
        appended = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Appended) and not outcome.created:
                await self._store.update_preview(outcome.document, request)
        last_seqs: dict[str, int] = {}
        for result in appended:
            user, seq = result.document["user_id"], result.document["seq"]
            last_seqs[str(user)] = max(seq, last_seqs.get(str(user), 0))
            if _is_hint(result.document):
                self._pending_hints[user] = seq
                self._hints_wanted.set()
        inboxes = {
            user_id: self._inboxes.recent.stored(user_id, seq, loaded[user_id]) for user_id, seq in last_seqs.items()
        }
        for result in appended:
            self._publish(result, inboxes[str(result.document["user_id"])], profiles)
        for user_id, inbox in inboxes.items():
            self._inboxes.publish_unread_count(user_id, inbox)
            self._on_stored(user_id, inbox)
        return [self._error_of(request, outcome) for request, outcome in zip(requests, outcomes, strict=True)]

    def _error_of(self, request: NotificationRequest, outcome: Appended | BaseException) -> Exception | None:
        if isinstance(outcome, Exception):
            return outcome
        assert isinstance(outcome, Appended)
        return None if outcome.created or self._store.is_same(request, outcome.document) else NonceReused()

    async def _flush_later(self) -> None:
        await self._hints_wanted.wait()
        await asyncio.sleep(HINT_DELAY)
        self._hints_wanted.clear()
        last_seqs, self._pending_hints = self._pending_hints, {}
        await self._inbox_store.raise_last_seqs(last_seqs)

    async def page(self, user_id: str, *, limit: int, before: int | None, unread: bool) -> NotificationPage:
        """Return the `limit` latest notifications numbered below `before`, or of all if it is None. Latest first."""
        found, inbox = await self._read_page(user_id, limit + 1, before, unread=unread)
        items = await self.with_senders(found[:limit], inbox)
        return NotificationPage(items=items, next=items[-1].seq if len(found) > limit else None)

    async def page_json(self, user_id: str, *, limit: int, before: int | None, unread: bool) -> dict[str, Any]:
        """Like `page`, in its JSON form."""
        found, inbox = await self._read_page(user_id, limit + 1, before, unread=unread)
        profiles = await self._senders(found[:limit])
        items = [notification_json(document, inbox, profiles) for document in found[:limit]]
        return {"items": items, "next": items[-1]["seq"] if len(found) > limit else None}

    async def _read_page(
        self, user_id: str, limit: int, before: int | None, *, unread: bool
    ) -> tuple[list[Document], Inbox]:
        if before is None and not unread:
            inbox = await self._inbox_store.inbox(user_id)
            return await self._store.latest(user_id, inbox.last_seq, limit), inbox
        inbox = await self._inboxes.inbox(user_id)
        top = min(before or inbox.last_seq + 1, inbox.last_seq + 1)
        if unread:
            return await self._newest_unread(user_id, inbox, top, limit), inbox
        return await self._store.newest(user_id, top, limit), inbox

    async def _newest_unread(self, user_id: str, inbox: Inbox, below: int, limit: int) -> list[Document]:
        found: list[Document] = []
        # Some of the numbers may belong to notifications that have been deleted.
        while len(found) < limit and (seqs := inbox.newest_unread(below, limit)):
            found += reversed(await self._store.numbered(user_id, seqs))
            below = seqs[-1]
        return found[:limit]

    async def unread_count(self, user_id: str) -> int:
        """Return the number of unread notifications."""
        return (await self._inboxes.inbox(user_id)).unread

    async def mark_read(self, user_id: str, notification_id: str) -> int:
        """Mark a notification as read. Returns the new unread count. Raises NotFound if the user has no such one."""
        document = await self._store.one(user_id, notification_id)
        if document is None:
            raise NotFound
        return await self._inboxes.mark_read(user_id, NumberSet.of([document["seq"]]))

    async def mark_read_up_to(self, user_id: str, seq: int) -> int:
        """Mark all notifications up to `seq`, but at most the last one, as read. Returns the new unread count."""
        inbox = await self._inboxes.inbox(user_id)
        if not inbox.last_seq:
            return 0
        return await self._inboxes.mark_read_up_to(user_id, min(seq, inbox.last_seq))

    async def expire(self, before: datetime) -> int:
        """Delete a batch of notifications made before `before`, after marking them as read. Returns their number."""
        old = await self._store.older_than(before)
        last_seqs: dict[str, int] = {}
        for document in old:
            user_id = str(document["user_id"])
            last_seqs[user_id] = max(document["seq"], last_seqs.get(user_id, 0))
        inboxes = await self._inbox_store.inboxes(last_seqs) if last_seqs else {}
        for user_id, seq in last_seqs.items():
            # Before the deletion: the inbox keeps their numbers from being reused, and from being counted as unread.
            if inboxes[user_id].read_up_to < seq:
                await self._inboxes.mark_read_up_to(user_id, seq)
        if old:
            await self._store.delete(old)
        return len(old)

    async def replay(self, user_id: str, last_seen: int | None) -> Replay:
        """Return what a connection missed since the notification `last_seen`. None: it only wants new ones.

        The connection must be registered already, so that it receives everything published after this replay.
        """
        return await self._replays.submit((user_id, last_seen))

    async def _read_replays(self, requests: Sequence[tuple[str, int | None]]) -> list[Replay]:
        inboxes = await self._inbox_store.inboxes({user_id for user_id, _ in requests})
        floors = {user_id: inboxes[user_id].last_seq for user_id, last_seen in requests if last_seen is None}
        last_seqs = await self._store.last_seqs(floors)
        resuming = [(user_id, last_seen) for user_id, last_seen in requests if last_seen is not None]
        missed = iter(await self._missed(resuming, inboxes))
        found = [Missed(last_seqs[user_id]) if last_seen is None else next(missed) for user_id, last_seen in requests]
        for (user_id, _), each in zip(requests, found, strict=True):
            self._dispatcher.set_position(topic_of(user_id), each.last_seq, [user_id])
        profiles = await self._senders(document for each in found for document in each.documents)
        replays = []
        for (user_id, _), each in zip(requests, found, strict=True):
            inbox = inboxes[user_id].with_last_seq(each.last_seq)
            events = [event_of(user_id, notification_json(document, inbox, profiles)) for document in each.documents]
            replays.append(Replay(inbox, events, each.reset_reason))
            if events:
                # Each may have missed a thousand: others have their turn between two of them.
                await asyncio.sleep(0)
        return replays

    async def _missed(self, resuming: Sequence[tuple[str, int]], inboxes: Mapping[str, Inbox]) -> list[Missed]:
        """Return what each of these users missed since a notification, given an inbox that may be older."""
        places = [_unread_place(user_id, last_seen, inboxes[user_id].last_seq) for user_id, last_seen in resuming]
        found = await self._store.above(filter(None, places), MAX_REPLAY)
        reads = [
            self._missed_of(user_id, last_seen, inboxes[user_id].last_seq, found[place] if place else ())
            for (user_id, last_seen), place in zip(resuming, places, strict=True)
        ]
        return await asyncio.gather(*reads)

    async def _missed_of(self, user_id: str, last_seen: int, floor: int, found: Sequence[Document]) -> Missed:
        """Return what the user missed since the notification `last_seen`, given that the last one is at least `floor`,
        and those `found` above."""
        if last_seen < 0:
            return Missed(await self._store.last_seq(user_id, floor), (), "unknown_id")
        last = max(floor, found[-1]["seq"]) if found else floor
        if last - last_seen > MAX_REPLAY:
            return Missed(await self._store.last_seq(user_id, last), (), "too_far_behind")
        if last < last_seen:
            return Missed(await self._store.last_seq(user_id, last), (), "unknown_id")
        missed = [document for document in found if document["seq"] > last_seen]
        if len(missed) != last - last_seen:
            return Missed(last, (), "no_longer_kept")
        return Missed(last, missed)

    async def backfill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        """Return up to BACKFILL_LIMIT events of `topic` after the number `after`. A `Backfill` of the dispatcher."""
        user_id = topic.removeprefix(TOPIC_PREFIX)
        inbox = (await self._inbox_store.inbox(user_id))._replace(last_seq=after + BACKFILL_LIMIT)
        return [(event, [user_id]) for event in await self._between(user_id, after + 1, inbox)]

    async def _between(self, user_id: str, first: int, inbox: Inbox) -> list[Event]:
        found = await self._store.between(user_id, first, inbox.last_seq)
        profiles = await self._senders(found)
        return [event_of(user_id, notification_json(document, inbox, profiles)) for document in found]

    def _publish(self, result: Appended, inbox: Inbox, profiles: Mapping[str, Profile]) -> None:
        user_id = str(result.document["user_id"])
        if result.created:
            event = event_of(user_id, notification_json(result.document, inbox, profiles))
            self._dispatcher.publish(event, [user_id])
        else:
            # The process that stored it may have crashed before it published the event.
            self._dispatcher.announce_position(topic_of(user_id), inbox.last_seq, CHANNEL, [user_id])

    async def with_senders(self, documents: Iterable[Document], inbox: Inbox) -> list[Notification]:
        """Return stored notifications as clients get them."""
        documents = list(documents)
        profiles = await self._senders(documents)
        return [_notification(document, inbox, profiles) for document in documents]

    async def _senders(self, documents: Iterable[Document]) -> Mapping[str, Profile]:
        senders = {str(document["sender_id"]) for document in documents if document["sender_id"]}
        return await self._profiles.profiles(senders) if senders else {}


def _unread_place(user_id: str, last_seen: int, floor: int) -> tuple[str, int, int] | None:
    """Return from where to read what a user missed, as NotificationStore.above takes it; None if it is too much."""
    if last_seen < 0 or floor - last_seen > MAX_REPLAY:
        return None
    # If it is not certain that there is `last_seen`, that one is read, too.
    return user_id, min(last_seen, max(floor, last_seen - 1)), floor


def _is_hint(notification: Document) -> bool:
    """Return whether the number of this stored notification becomes a hint. Users differ in which of theirs do, so that
    a thousand who are always notified together do not all need one at the same time."""
    user_id: ObjectId = notification["user_id"]
    return bool((notification["seq"] + user_id.binary[-1]) % HINT_STEP == 0)


def topic_of(user_id: str) -> str:
    return TOPIC_PREFIX + user_id


def event_of(user_id: str, notification: dict[str, Any]) -> Event:
    """Return the event that carries a notification in its JSON form to its user's connections."""
    seq = notification["seq"]
    body = {"seq": seq, "data": notification["data"]}
    return Event(notification["type"], body, channel=CHANNEL, topic=topic_of(user_id), sequence=seq)


def _notification(document: Document, inbox: Inbox, profiles: Mapping[str, Profile]) -> Notification:
    shown = notification_json(document, inbox, profiles)
    data = shown["data"]
    kind: type[PostNotification | CustomNotification] = PostNotification
    if "post_id" not in data:
        kind = CustomNotification
    elif "deleted" in data:
        kind = DeletedNotification
    elif "emoji" in data:
        kind = ReactionNotification
    return Notification(type=shown["type"], seq=shown["seq"], data=kind(**data))


def sender_of(user_id: str, profiles: Mapping[str, Profile]) -> Sender:
    """Return the user as a sender; `profiles` need not have a profile of them."""
    return Sender(**sender_json(user_id, profiles))
