"""Groups the notifications of each user after they have been stored, off their path."""

import asyncio
from collections.abc import Collection, Sequence
from itertools import islice

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, run_forever
from service.datastores.mongo import Document
from service.notifications.group import Group, grouped, subject_of
from service.notifications.group_store import NotificationGroupStore
from service.notifications.inbox_store import Inbox, InboxStore
from service.notifications.notification_store import NotificationStore
from service.notifications.number_set import NumberSet

BATCH_SIZE = 256
"""Notifications that are grouped together, and how many a user may have that are not grouped yet. Whoever reads the
groups groups the rest, so the first read costs about one batch, and a user who never reads them costs little."""
MAX_INITIAL = 10_000
"""Notifications of an earlier version that are grouped when a user first reads groups: the newest ones."""
MAX_COUNTED = 4096
"""Notifications of a group up to which its senders are read again after some were deleted. In a larger one, those whose
notifications are all deleted still count as senders."""
MAX_ATTEMPTS = 50
"""Changes of the same groups by others, in a row, after which a batch gives up."""


class Grouper:
    """Adds notifications to groups in the order of their numbers. `Inbox.grouped_up_to` says how far it has come.

    A group says up to which number it was grouped, so any process can repeat a batch, and two may work at the same
    time. If a process is killed in between, the next one to write or read here goes on.
    """

    def __init__(self, notifications: NotificationStore, inboxes: InboxStore, groups: NotificationGroupStore) -> None:
        self._notifications = notifications
        self._inboxes = inboxes
        self._groups = groups
        self._waiting: dict[str, int] = {}
        """The last number of each user who has more than a batch to be grouped."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._step, "grouping"))

    async def close(self) -> None:
        """Stop at once. What is not grouped yet is grouped later."""
        await cancel_and_wait(self._task)

    def schedule(self, user_id: str, inbox: Inbox) -> None:
        """Group the user's notifications in the background, if there are enough of them."""
        if inbox.last_seq - (inbox.grouped_up_to or 0) >= BATCH_SIZE:
            self._waiting[user_id] = inbox.last_seq
            self._wake.set()

    async def group(self, user_id: str, inbox: Inbox) -> None:
        """Group the user's notifications up to `inbox.last_seq`. Raises Unavailable."""
        done = inbox.grouped_up_to
        if done is None:
            done = max(0, inbox.last_seq - MAX_INITIAL)
        while done < inbox.last_seq:
            last = min(done + BATCH_SIZE, inbox.last_seq)
            await self._group_batch(user_id, done + 1, last)
            await self._inboxes.raise_grouped(user_id, last)
            done = last

    async def prune(self, user_id: str, group: Group) -> None:
        """Remove from a group the newest of its notifications that no longer exist. Raises Unavailable.

        Its numbers below the newest one that exists are not looked at.
        """
        seqs = group.seqs
        while newest := list(islice(seqs, BATCH_SIZE)):
            existing = await self._notifications.numbered(user_id, newest)
            seqs = seqs.up_to(existing[-1]["seq"] if existing else newest[-1] - 1)
            if existing:
                break
        group.discard(group.seqs - seqs)
        if seqs:
            await self._groups.put(user_id, [group])
        else:
            await self._groups.delete(user_id, group)

    async def remove(self, user_id: str, notifications: Collection[Document]) -> None:
        """Remove notifications that have been marked as deleted from their groups. Raises Unavailable."""
        seqs = NumberSet.of(notification["seq"] for notification in notifications)
        subjects = {subject_of(notification) or notification["type"] for notification in notifications}
        for _ in range(MAX_ATTEMPTS):
            groups = await self._groups.of_subjects(user_id, subjects, seqs.first - 1) if seqs else []
            changed = [group for group in groups if group.discard(seqs)]
            for group in changed:
                if not group.seqs:
                    await self._groups.delete(user_id, group)
            kept = [group for group in changed if group.seqs]
            if len(kept) == len(changed) and (not kept or await self._groups.put(user_id, kept)):
                return
        raise Unavailable("Too many processes change these groups at once.")

    async def with_senders(self, user_id: str, group: Group) -> Group:
        """Return the group with its senders, after some of its notifications were deleted. Raises Unavailable.

        Those of a group with more than MAX_COUNTED notifications stay what they are.
        """
        if group.senders_stale and len(group.seqs) <= MAX_COUNTED:
            seqs, senders = list(group.seqs), []
            for first in range(0, len(seqs), BATCH_SIZE):
                found = await self._notifications.numbered(user_id, seqs[first : first + BATCH_SIZE])
                senders += [notification["sender_id"] for notification in reversed(found)]
            group.replace_senders(senders)
            # If another process has changed the group meanwhile, its stored senders stay stale.
            await self._groups.put(user_id, [group])
        return group

    async def _group_batch(self, user_id: str, first: int, last: int) -> None:
        found = await self._notifications.between(user_id, first, last)
        await self._add(user_id, [notification for notification in found if "deleted" not in notification])
        # What was deleted after it had been read was not in a group yet.
        if deleted := await self._notifications.deleted_between(user_id, first, last):
            await self.remove(user_id, deleted)

    async def _add(self, user_id: str, notifications: Sequence[Document]) -> None:
        subjects = {subject for notification in notifications if (subject := subject_of(notification))}
        for _ in range(MAX_ATTEMPTS):
            earliest = min((notification["created_at"] for notification in notifications), default=None)
            known = await self._groups.taking(user_id, subjects, earliest) if subjects and earliest else []
            changed = grouped(notifications, known)
            if not changed or await self._groups.put(user_id, changed):
                return
            # A notification that stays by itself cannot be found by its subject: it is stored, by another or by this.
            notifications = [each for each in notifications if subject_of(each)]
        raise Unavailable("Too many processes group notifications here at once.")

    async def _step(self) -> None:
        await self._wake.wait()
        while self._waiting:
            user_id, last_seq = next(iter(self._waiting.items()))
            # Another process may have been first.
            inbox = (await self._inboxes.inbox(user_id)).with_last_seq(last_seq)
            if inbox.last_seq - (inbox.grouped_up_to or 0) >= BATCH_SIZE:
                await self.group(user_id, inbox)
            if self._waiting.get(user_id) == last_seq:
                del self._waiting[user_id]
        self._wake.clear()
