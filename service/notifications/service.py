"""What can be done with notifications: append them, list them, mark them read, and tell whoever is connected."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from bson import ObjectId

from service.common.errors import NotFound
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.mongo import Document
from service.datastores.sequenced_log import Appended
from service.notifications.inbox_store import Inbox, InboxStore
from service.notifications.models import (
    CHANNEL,
    Notification,
    NotificationData,
    NotificationPage,
    NotificationRequest,
    Sender,
)
from service.notifications.notification_store import NotificationStore
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event, Policy

TOPIC = "n:"
FILL = 200
"""Notifications read at a time to close a gap in what this process was told."""
MAX_MISSED = 1000
"""A client further behind is served better by the list, page by page."""


class Replay(NamedTuple):
    """`missed`: the events since what the client has seen; `lost`: why they are not there, where they are not."""

    inbox: Inbox
    missed: list[Event]
    reset_reason: str | None = None


class NotificationService:
    """Persists, then publishes. All ids are 24-hex strings; every method raises Unavailable."""

    def __init__(
        self, store: NotificationStore, inboxes: InboxStore, profiles: Profiles, dispatcher: Dispatcher
    ) -> None:
        self._store = store
        self._inboxes = inboxes
        self._profiles = profiles
        self._dispatcher = dispatcher
        self._pending_hints: dict[ObjectId, int] = {}
        """The users told since hints were kept, and the numbers of their last notifications."""
        dispatcher.set_backfill(TOPIC, self.fill)

    async def notify(self, drafts: Sequence[NotificationRequest]) -> list[Exception | None]:
        """Store each of `drafts` and tell its user; for each the exception that kept it from being stored, if any.
        Raises Unavailable where that cannot be said of all.

        May be repeated with the same drafts, whatever became of them the first time.
        """
        if not drafts:
            return []
        profiles = {draft.sender.id: draft.sender for draft in drafts}
        appending = [self._store.append(draft) for draft in drafts]
        outcomes = await asyncio.gather(*appending, return_exceptions=True)
        appended = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
        inboxes = await self._inboxes.inboxes({str(result.document["user_id"]) for result in appended})
        for result in appended:
            user_id = str(result.document["user_id"])
            inboxes[user_id] = inboxes[user_id].with_last_seq(result.document["seq"])
        for result in appended:
            self._tell(result, inboxes[str(result.document["user_id"])], profiles)
        for user_id, inbox in inboxes.items():
            self._tell_unread(user_id, inbox)
            self._pending_hints[ObjectId(user_id)] = inbox.last_seq
        return [outcome if isinstance(outcome, Exception) else None for outcome in outcomes]

    async def flush_hints(self) -> None:
        """Raise the numbers that inboxes remember to what has been told since the last time. Whoever notifies sees to
        it later, and nobody waits: whoever shows an inbox reads what lies above its number. Raises Unavailable."""
        reached, self._pending_hints = self._pending_hints, {}
        if reached:
            await self._inboxes.raise_last(reached)

    async def page(self, user_id: str, *, limit: int, before: int | None, unread: bool) -> NotificationPage:
        """The latest `limit` below `before` (None: of all), all or only those unread."""
        inbox = await self.inbox(user_id)
        top = min(before or inbox.last_seq + 1, inbox.last_seq + 1)
        if unread:
            seqs = inbox.newest_unread(top, limit + 1)
            found = await self._store.numbered(user_id, seqs[:limit])
            more = len(seqs) > limit
        else:
            first = max(1, top - limit)
            found = await self._store.between(user_id, first, top - 1)
            more = first > 1
        items = await self._shown(found, inbox)
        items.reverse()
        return NotificationPage(items=items, next=items[-1].seq if more and items else None)

    async def unread_count(self, user_id: str) -> int:
        return (await self.inbox(user_id)).unread

    async def mark(self, user_id: str, notification_id: str) -> int:
        """Mark one as read; returns how many are unread then. Raises NotFound for one that is not this user's."""
        document = await self._store.one(user_id, notification_id)
        if document is None:
            raise NotFound
        return await self._marked(user_id, await self._inboxes.mark(user_id, document["seq"]))

    async def mark_up_to(self, user_id: str, seq: int) -> int:
        """Mark all up to `seq`, or to the last where that comes first, as read; returns how many are unread then."""
        inbox = await self.inbox(user_id)
        if not inbox.last_seq:
            return 0
        return await self._marked(user_id, await self._inboxes.mark_up_to(user_id, min(seq, inbox.last_seq)))

    async def expire(self, before: datetime) -> int:
        """Delete some of the notifications made before then; how many. To their users they count as read."""
        old = await self._store.older(before)
        reached: dict[str, int] = {}
        for document in old:
            user_id = str(document["user_id"])
            reached[user_id] = max(document["seq"], reached.get(user_id, 0))
        inboxes = await self._inboxes.inboxes(reached) if reached else {}
        for user_id, seq in reached.items():
            # First: numbers are given out, and the unread counted, by what the inbox says of those that are gone.
            if inboxes[user_id].read_up_to < seq:
                await self._marked(user_id, await self._inboxes.mark_up_to(user_id, seq))
        if old:
            await self._store.delete([document["_id"] for document in old])
        return len(old)

    async def inbox(self, user_id: str) -> Inbox:
        """How far the user has read, and the number of the last notification there is."""
        return await self._with_last(user_id, await self._inboxes.inbox(user_id))

    async def replay(self, user_id: str, seen: int | None) -> Replay:
        """What a connection that joins has to be told of; one that has `seen` up to there, or (None) wants only news.

        The connection is registered already: everything later than this replay reaches it.
        """
        inbox = await self.inbox(user_id)
        self._dispatcher.set_position(topic_of(user_id), inbox.last_seq)
        if seen is None:
            return Replay(inbox, [])
        if not 0 <= seen <= inbox.last_seq:
            return Replay(inbox, [], "unknown_id")
        if inbox.last_seq - seen > MAX_MISSED:
            return Replay(inbox, [], "too_far_behind")
        missed = await self._between(user_id, seen + 1, inbox)
        if len(missed) != inbox.last_seq - seen:
            return Replay(inbox, [], "no_longer_kept")
        return Replay(inbox, missed)

    async def fill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        """The `Filler` of the topics of notifications; up to FILL at a time."""
        user_id = topic.removeprefix(TOPIC)
        inbox = (await self._inboxes.inbox(user_id))._replace(last_seq=after + FILL)
        return [(event, [user_id]) for event in await self._between(user_id, after + 1, inbox)]

    async def _between(self, user_id: str, first: int, inbox: Inbox) -> list[Event]:
        found = await self._store.between(user_id, first, inbox.last_seq)
        return [event_of(user_id, notification) for notification in await self._shown(found, inbox)]

    async def _with_last(self, user_id: str, inbox: Inbox) -> Inbox:
        return inbox.with_last_seq(await self._store.last(user_id, inbox.last_seq))

    async def _marked(self, user_id: str, inbox: Inbox) -> int:
        inbox = await self._with_last(user_id, inbox)
        self._tell_unread(user_id, inbox)
        return inbox.unread

    def _tell(self, result: Appended, inbox: Inbox, profiles: Mapping[str, Profile]) -> None:
        user_id = str(result.document["user_id"])
        if result.created:
            event = event_of(user_id, _notification(result.document, inbox, profiles))
            self._dispatcher.publish(event, [user_id])
        else:
            # Whoever stored it may have died before telling anyone.
            self._dispatcher.announce_position(topic_of(user_id), inbox.last_seq, CHANNEL, [user_id])

    def _tell_unread(self, user_id: str, inbox: Inbox) -> None:
        body = {"unread_count": inbox.unread, "seq": inbox.last_seq}
        key = f"unread_count:{user_id}"
        event = Event("unread_count", body, channel=CHANNEL, policy=Policy.LATEST, key=key, version=inbox.rank)
        self._dispatcher.publish(event, [user_id])

    async def _shown(self, documents: Iterable[Document], inbox: Inbox) -> list[Notification]:
        documents = list(documents)
        if not documents:
            return []
        profiles = await self._profiles.profiles({str(document["sender_id"]) for document in documents})
        return [_notification(document, inbox, profiles) for document in documents]


def topic_of(user_id: str) -> str:
    return TOPIC + user_id


def event_of(user_id: str, notification: Notification) -> Event:
    """The notification as its user's connections are told of it."""
    body = notification.model_dump(exclude={"type"})
    return Event(notification.type, body, channel=CHANNEL, topic=topic_of(user_id), sequence=notification.seq)


def _notification(document: Document, inbox: Inbox, profiles: Mapping[str, Profile]) -> Notification:
    sender_id = str(document["sender_id"])
    profile = profile_of(sender_id, profiles)
    return Notification(
        type=document["type"],
        seq=document["seq"],
        data=NotificationData(
            notification_id=str(document["_id"]),
            sender=Sender(id=sender_id, display_name=profile.display_name, avatar=profile.avatar),
            post_id=str(document["post_id"]),
            comment_id=str(document["comment_id"]),
            preview=document["preview"],
            created_at=document["created_at"],
            read=inbox.has_read(document["seq"]),
        ),
    )
