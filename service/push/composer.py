"""From deliveries to payloads: what is pushed, if it is still unread and wanted."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId

from service.attachments.attachments import FIELD as ATTACHMENTS
from service.chat.conversation_service import ConversationService
from service.chat.message_store import MessageStore
from service.common.blocks import Block, Blocks
from service.common.errors import NotFound
from service.common.profiles import Profiles, profile_of
from service.common.times import iso, now
from service.datastores.mongo import Document
from service.notifications.inbox_service import InboxService
from service.notifications.models import BUILT_IN_TYPES, CustomNotification, Notification
from service.notifications.preference_service import PreferenceService
from service.notifications.preferences import Preferences
from service.notifications.quiet_hours import quiet_until
from service.notifications.service import NotificationService
from service.push.delivery_store import Delivery
from service.push.news_store import Kind, group_of
from service.push.payload import Payload, shortened
from service.push.texts import counted, text

MAX_PAGES, PAGE_SIZE = 10, 100
"""Of the unread notifications that a push is about, the newest thousand are looked at."""
MAX_MESSAGES = 50
"""Messages of one delivery among which the last one that the user wants is looked for."""


class Composed(NamedTuple):
    """Either `payload` is to be pushed, or the delivery is to be held until `quiet_until`, or neither: dropped."""

    payload: Payload | None = None
    quiet_until: datetime | None = None


DROPPED = Composed()


class Composer:
    """Reads, at the time of an attempt, what a push says, and whether it is still unread and wanted.

    All methods raise Unavailable.
    """

    def __init__(
        self,
        conversations: ConversationService,
        messages: MessageStore,
        notifications: NotificationService,
        inboxes: InboxService,
        preferences: PreferenceService,
        profiles: Profiles,
        blocks: Blocks,
    ) -> None:
        self._conversations = conversations
        self._messages = messages
        self._notifications = notifications
        self._inboxes = inboxes
        self._preferences = preferences
        self._profiles = profiles
        self._blocks = blocks

    async def compose(self, delivery: Delivery, language: str) -> Composed:
        """Return what to push in this language, or that nothing is to be pushed, now or at all."""
        preferences = (await self._preferences.of_users([delivery.user_id]))[delivery.user_id]
        match delivery.kind:
            case Kind.MESSAGE:
                payload = await self._message(delivery, language, preferences)
            case Kind.NOTIFICATION:
                payload = await self._notification(delivery, language, preferences)
            case Kind.SUMMARY:
                payload = await self._summary(delivery, language, preferences)
        if payload and (until := quiet_until(preferences, now())):
            return Composed(quiet_until=until)
        return Composed(payload)

    async def _message(self, delivery: Delivery, language: str, preferences: Preferences) -> Payload | None:
        conversation_id = str(delivery.subject)
        found = await self._newest(delivery.user_id, conversation_id, delivery.first, delivery.number, preferences)
        if not found:
            return None
        conversation, message = found
        sender = str(message["sender_id"])
        name = profile_of(sender, await self._profiles.profiles([sender])).display_name
        title = f"{name} · {conversation['title']}" if conversation["title"] else name
        names = [each["name"] for each in message.get(ATTACHMENTS, ())]
        content = shortened(message["content"] or ", ".join(names)) if preferences.push.preview else ""
        return Payload(
            type="message",
            title=title,
            body=content or text(language, "message"),
            url=f"/#/c/{conversation_id}",
            tag=delivery.tag,
            unread_count=conversation["unread_count"],
        )

    async def _newest(
        self, user_id: str, conversation_id: str, first: int, last: int, preferences: Preferences
    ) -> tuple[dict[str, Any], Document] | None:
        """Return the conversation as the user sees it, and the newest of its messages from `first` to `last` that they
        want: not what they have read, have written themselves, or have blocked the sender of. None if there is none."""
        wanted = preferences.push.messages
        conversation = await self._conversation(user_id, conversation_id) if wanted != "none" else None
        if not conversation or conversation["last_read_seq"] >= last:
            return None
        first = max(first, last - MAX_MESSAGES + 1, conversation["last_read_seq"] + 1)
        user = ObjectId(user_id)
        found = [
            each
            for each in await self._messages.range(ObjectId(conversation_id), first, last)
            if not each["deleted"]
            and "kind" not in each  # a system message
            and each["sender_id"] != user
            and (wanted == "all" or user in each.get("mentions", ()))
        ]
        blocked = await self._blocks.existing({Block(user_id, str(each["sender_id"])) for each in found})
        unblocked = [each for each in found if Block(user_id, str(each["sender_id"])) not in blocked]
        return (conversation, unblocked[-1]) if unblocked else None

    async def _conversation(self, user_id: str, conversation_id: str) -> dict[str, Any] | None:
        """Return a conversation as its participant sees it; None if they are none any more, or have muted it."""
        try:
            conversation = await self._conversations.get(user_id, conversation_id)
        except NotFound:
            return None
        # Both in the same format, which compares like the times.
        return None if (conversation.get("muted_until") or "") > iso(now()) else conversation

    async def _notification(self, delivery: Delivery, language: str, preferences: Preferences) -> Payload | None:
        """Tell of the newest of the notifications that the delivery is about, and of how many others' there are."""
        user_id = delivery.user_id
        found = [
            each
            async for page in self._wanted(user_id, delivery.first, delivery.number + 1, preferences)
            for each in page
            if _group(each) == delivery.group
        ]
        if not found:
            return None
        notification, sender = found[0], found[0].data.sender
        if notification.type in BUILT_IN_TYPES:
            assert sender
            others = len({each.data.sender.id for each in found if each.data.sender}) - 1
            names = counted(language, "names", others, name=sender.display_name) if others else sender.display_name
            title, body = f"{names} {text(language, notification.type)}", ""
        else:
            title = sender.display_name if sender else text(language, "notification")
            body = text(language, "notification") if sender else ""
        return Payload(
            type=notification.type,
            title=title,
            body=(notification.data.preview if preferences.push.preview else "") or body,
            url=_url(notification),
            tag=delivery.tag,
            unread_count=await self._notifications.unread_count(user_id),
        )

    async def _wanted(
        self, user_id: str, first: int, before: int, preferences: Preferences
    ) -> AsyncIterator[list[Notification]]:
        """Yield the user's unread notifications from `first` to below `before`, newest first, in at most MAX_PAGES
        pages; none of kinds that are not pushed, none of senders whom the user blocks, and none that is deleted."""
        for _ in range(MAX_PAGES):
            page = await self._notifications.page(user_id, limit=PAGE_SIZE, before=before, unread=True)
            found = [each for each in page.items if each.seq >= first and preferences.kind(each.type).push]
            blocks = {Block(user_id, each.data.sender.id) for each in found if each.data.sender}
            blocked = await self._blocks.existing(blocks) if blocks else set()
            yield [each for each in found if not each.data.sender or Block(user_id, each.data.sender.id) not in blocked]
            if page.next is None or page.next <= first:
                return
            before = page.next

    async def _summary(self, delivery: Delivery, language: str, preferences: Preferences) -> Payload | None:
        """Count what was held back and is still unread and wanted, and what has come to it since."""
        messages = notifications = 0
        for conversation_id, seq in delivery.conversations.items():
            messages += await self._count(delivery.user_id, conversation_id, seq, preferences)
        if delivery.last:
            inbox = await self._inboxes.inbox(delivery.user_id)
            async for page in self._wanted(delivery.user_id, delivery.first, inbox.last_seq + 1, preferences):
                notifications += len(page)
        parts = [("messages", messages), ("notifications", notifications)]
        body = ", ".join(counted(language, key, count) for key, count in parts if count)
        if not body:
            return None
        return Payload("summary", text(language, "summary"), body, "/", delivery.tag, messages + notifications)

    async def _count(self, user_id: str, conversation_id: str, last: int, preferences: Preferences) -> int:
        """Return how many messages are unread in a conversation, if one of those up to `last` is wanted; if only
        mentions are, how many mention the user."""
        if preferences.push.messages == "mentions":
            conversation = await self._conversation(user_id, conversation_id)
            return int(conversation["mention_count"]) if conversation else 0
        found = await self._newest(user_id, conversation_id, 1, last, preferences)
        return int(found[0]["unread_count"]) if found else 0


def _group(notification: Notification) -> str:
    """Return which notifications replace it, as the collector does."""
    data = notification.data
    about = data.group_key if isinstance(data, CustomNotification) else data.post_id
    return group_of(notification.type, about, data.notification_id)


def _url(notification: Notification) -> str:
    """Return where a notification leads: in the app, or on the site whose own it is."""
    data = notification.data
    if isinstance(data, CustomNotification):
        return data.url or "/"
    comment = f"#comment-{data.comment_id}" if data.comment_id else ""
    return f"/#/posts/{data.post_id}{comment}"
