"""Groups: listing them, and marking the notifications of a group or about a post as read."""

from service.common.errors import NotFound
from service.common.page_size import fitting
from service.common.profiles import Profiles
from service.notifications.group import Group, parse_key, subjects_of_post
from service.notifications.group_store import NotificationGroupStore
from service.notifications.grouper import Grouper
from service.notifications.inbox_service import InboxService
from service.notifications.inbox_store import Inbox
from service.notifications.models import GroupPage, Notification, NotificationGroup
from service.notifications.notification_store import NotificationStore
from service.notifications.number_set import NumberSet
from service.notifications.service import NotificationService, sender_of

MAX_PRUNED = 10
"""Times that a page is read again because notifications were deleted."""


class NotificationGroupService:
    """Each method first groups what was stored since the last call. Methods raise Unavailable."""

    def __init__(
        self,
        notifications: NotificationService,
        store: NotificationStore,
        inboxes: InboxService,
        groups: NotificationGroupStore,
        grouper: Grouper,
        profiles: Profiles,
    ) -> None:
        self._notifications = notifications
        self._store = store
        self._inboxes = inboxes
        self._groups = groups
        self._grouper = grouper
        self._profiles = profiles

    async def page(self, user_id: str, *, limit: int, before: int | None) -> GroupPage:
        """Return the `limit` groups whose newest notifications are the latest numbered below `before`, or of all if it
        is None. Latest first."""
        inbox = await self._grouped_inbox(user_id)
        top = min(before or inbox.last_seq + 1, inbox.last_seq + 1)
        for _ in range(MAX_PRUNED):
            found = await self._groups.newest(user_id, top, limit + 1)
            documents = await self._store.numbered(user_id, [group.seqs.last for group in found[:limit]])
            existing = {document["seq"] for document in documents}
            pruned = [group for group in found[:limit] if group.seqs.last not in existing]
            if not pruned:
                break
            for group in pruned:
                await self._grouper.prune(user_id, group)
        kept = [group for group in found[:limit] if group.seqs.last in existing]
        shown = [await self._grouper.with_senders(user_id, group) for group in kept]
        latest = {item.seq: item for item in await self._notifications.with_senders(documents, inbox)}
        items = await self._with_senders([(group, latest[group.seqs.last]) for group in shown], inbox)
        items = items[: fitting(items)]
        more = len(found) > limit or len(items) < len(shown)
        return GroupPage(items=items, next=items[-1].seq if items and more else None)

    async def mark_group(self, user_id: str, key: str, seq: int) -> int:
        """Mark the notifications of a group up to `seq` as read. Returns the new unread count. Raises NotFound."""
        await self._grouped_inbox(user_id)
        parsed = parse_key(key)
        group = await self._groups.one(user_id, *parsed) if parsed else None
        if group is None:
            raise NotFound
        return await self._inboxes.mark_read(user_id, group.seqs.up_to(seq))

    async def mark_post(self, user_id: str, post_id: str) -> int:
        """Mark all notifications about a post as read. Returns the new unread count."""
        inbox = await self._grouped_inbox(user_id)
        seqs = NumberSet()
        for group in await self._groups.of_subjects(user_id, subjects_of_post(post_id), inbox.read_up_to):
            seqs |= inbox.unread_of(group.seqs)
        return await self._inboxes.mark_read(user_id, seqs)

    async def _grouped_inbox(self, user_id: str) -> Inbox:
        inbox = await self._inboxes.inbox(user_id)
        await self._grouper.group(user_id, inbox)
        return inbox

    async def _with_senders(self, pairs: list[tuple[Group, Notification]], inbox: Inbox) -> list[NotificationGroup]:
        senders = {str(sender) for group, _ in pairs for sender in group.senders}
        profiles = await self._profiles.profiles(senders) if senders else {}
        return [
            NotificationGroup(
                key=group.key,
                type=latest.type,
                seq=latest.seq,
                count=len(group.seqs),
                unread_count=len(inbox.unread_of(group.seqs)),
                senders=[sender_of(sender, profiles) for sender in map(str, group.senders)],
                sender_count=group.sketch.count,
                latest=latest,
            )
            for group, latest in pairs
        ]
