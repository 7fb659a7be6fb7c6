"""Inboxes: reading them, marking notifications as read, and publishing the unread count."""

from service.notifications.inbox_store import Inbox, InboxStore
from service.notifications.models import CHANNEL
from service.notifications.notification_store import NotificationStore
from service.notifications.number_set import NumberSet
from service.notifications.recent_inboxes import RecentInboxes
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event, Policy


class InboxService:
    """Marks are stored before they are published. Methods raise Unavailable."""

    def __init__(self, store: NotificationStore, inboxes: InboxStore, dispatcher: Dispatcher) -> None:
        self._store = store
        self._inboxes = inboxes
        self._dispatcher = dispatcher
        self.recent = RecentInboxes(inboxes, self.publish_unread_count)

    async def inbox(self, user_id: str) -> Inbox:
        """Return the user's read state, with the number of the last notification that is stored."""
        return await self._with_stored_last_seq(user_id, await self._inboxes.inbox(user_id))

    async def mark_read(self, user_id: str, seqs: NumberSet) -> int:
        """Mark the notifications with these numbers, which must exist, as read. Returns the new unread count."""
        return await self._publish_marked(user_id, await self._inboxes.mark_read(user_id, seqs))

    async def mark_read_up_to(self, user_id: str, seq: int) -> int:
        """Mark all notifications up to `seq`, which must exist, as read. Returns the new unread count."""
        return await self._publish_marked(user_id, await self._inboxes.mark_read_up_to(user_id, seq))

    def publish_unread_count(self, user_id: str, inbox: Inbox) -> None:
        """Send the unread count of `inbox` to the user's connections."""
        self._dispatcher.publish(
            Event(
                "unread_count",
                {"unread_count": inbox.unread, "seq": inbox.last_seq},
                channel=CHANNEL,
                policy=Policy.LATEST,
                key=f"unread_count:{user_id}",
                version=inbox.version,
                coalesced=True,
            ),
            [user_id],
        )

    async def _publish_marked(self, user_id: str, inbox: Inbox) -> int:
        inbox = self.recent.marked(user_id, await self._with_stored_last_seq(user_id, inbox))
        self.publish_unread_count(user_id, inbox)
        return inbox.unread

    async def _with_stored_last_seq(self, user_id: str, inbox: Inbox) -> Inbox:
        return inbox.with_last_seq(await self._store.last_seq(user_id, inbox.last_seq))
