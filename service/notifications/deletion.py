"""Deleting the notifications about posts and comments that have been deleted."""

import asyncio
from collections.abc import Collection, Sequence

from bson import ObjectId

from service.datastores.mongo import Document
from service.notifications.grouper import Grouper
from service.notifications.inbox_service import InboxService
from service.notifications.models import CHANNEL, DeletedSubject
from service.notifications.notification_store import NotificationStore
from service.notifications.number_set import NumberSet
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event, Policy

CONCURRENT_USERS = 8


class NotificationDeletion:
    """Deletes notifications of any number of users: lists and groups no longer have them, and they count as read.

    A deleted notification keeps its number: `seq` stays without holes, as clients expect. A client that missed it gets
    it when it resumes, as a DeletedNotification; one that has it gets `notifications_deleted`.
    """

    def __init__(
        self, store: NotificationStore, inboxes: InboxService, grouper: Grouper, dispatcher: Dispatcher
    ) -> None:
        self._store = store
        self._inboxes = inboxes
        self._grouper = grouper
        self._dispatcher = dispatcher

    async def delete(self, subjects: Collection[DeletedSubject]) -> None:
        """Delete the notifications about these posts and comments: of them, of mentions in them, of reactions to them.

        First store that the posts and comments are deleted, then call this, with a few hundred of them at most. If it
        raises, or the process is killed before it ends, call it again with the same subjects: every step can be
        repeated, and announces again what a killed process has not. Those who delete a post pass it together with its
        comments, batch by batch.

        `recipients` of a comment: the authors of its post and of its parent, and whom any version of its text
        mentioned; of a post: whom any version mentioned. `RecipientSelector.candidates` returns them. Others may be
        among them, but nothing finds one who is missing.

        A process that was notifying of a comment meanwhile may store the notification after this. So whoever notifies
        of something looks whether it still exists after the notification is stored, and calls this if it does not.

        Raises Unavailable.
        """
        by_user: dict[ObjectId, list[DeletedSubject]] = {}
        for subject in subjects:
            concerned = {*subject.recipients, *([subject.author_id] if subject.author_id else [])}
            for user_id in concerned:
                by_user.setdefault(user_id, []).append(subject)
        slots = asyncio.Semaphore(CONCURRENT_USERS)

        async def delete(user_id: ObjectId, about: Sequence[DeletedSubject]) -> None:
            async with slots:
                if found := await self._store.about(user_id, about):
                    await self._delete(str(user_id), found)

        await asyncio.gather(*[delete(*item) for item in by_user.items()])

    async def _delete(self, user_id: str, notifications: Sequence[Document]) -> None:
        # In this order: the grouper looks for deleted ones after it has grouped what it has read before.
        await self._store.mark_deleted(notifications)
        await self._grouper.remove(user_id, notifications)
        seqs = [notification["seq"] for notification in notifications]
        await self._inboxes.mark_read(user_id, NumberSet.of(seqs))
        event = Event("notifications_deleted", {"seqs": sorted(seqs)}, channel=CHANNEL, policy=Policy.EPHEMERAL)
        self._dispatcher.publish(event, [user_id])
