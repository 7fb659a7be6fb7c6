"""The inboxes of users who are being notified: read while their notifications are stored, and checked afterwards."""

import asyncio
import math
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from pymongo.errors import PyMongoError

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, run_forever
from service.notifications.inbox_store import Inbox, InboxStore

CHECK_INTERVAL = 0.1
"""Seconds between two checks, each of all users who have been notified since the last one."""
MAX_AGE = 0.25
"""Seconds for which an inbox is used after it was read."""
CLOSE_TIMEOUT = 1.0


class _Recent:
    """`inbox` is the latest state that this process has sent, or has read to send. `due`: it was sent after the last
    check. `read_at`: when the last read began."""

    __slots__ = ("due", "inbox", "read_at")

    def __init__(self, inbox: Inbox, read_at: float) -> None:
        self.inbox = inbox
        self.read_at = read_at
        self.due = False


class RecentInboxes:
    """Keeps the inboxes of users while they are being notified, with the marks that this process makes.

    So the unread count that goes with a notification is known as soon as the notification is stored. A mark that
    another process makes at the same time may have missed the notification, and this process the mark. Therefore each
    inbox is read again after the notification was stored, and if it differs from what was sent,
    `on_difference(user_id, inbox)` is called. If the process is killed before that, the next count is right again.
    """

    def __init__(self, store: InboxStore, on_difference: Callable[[str, Inbox], None]) -> None:
        self._store = store
        self._on_difference = on_difference
        self._users: dict[str, _Recent] = {}
        self._notified = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._check_later, "inbox_checks"))

    async def close(self) -> None:
        """Make the check that is due, within a second."""
        await cancel_and_wait(self._task)
        with suppress(TimeoutError, Unavailable, PyMongoError):
            await asyncio.wait_for(self.check(), CLOSE_TIMEOUT)

    async def load(self, user_ids: Collection[str]) -> dict[str, Inbox]:
        """Return the inbox of each user as it is, or was within MAX_AGE. Raises Unavailable."""
        now = time.monotonic()
        kept = {user_id: self._users[user_id] for user_id in user_ids if user_id in self._users}
        found = {user_id: each.inbox for user_id, each in kept.items() if now - each.read_at < MAX_AGE}
        if missing := [user_id for user_id in user_ids if user_id not in found]:
            read = await self._store.inboxes(missing)
            for user_id, inbox in read.items():
                # For the marks until the notification is stored. What was sent before is for the check to compare.
                self._users.setdefault(user_id, _Recent(inbox, now))
            self._notified.set()
            found |= read
        return found

    def stored(self, user_id: str, seq: int, loaded: Inbox) -> Inbox:
        """Return the inbox of a user whose notification `seq` has been stored. `loaded`: their inbox from `load`."""
        recent = self._users.get(user_id)
        if recent is None:
            # Storing has taken longer than until a check.
            recent = self._users[user_id] = _Recent(loaded, -math.inf)
        recent.inbox = _combined(recent.inbox, loaded).with_last_seq(seq)
        recent.due = True
        self._notified.set()
        return recent.inbox

    def marked(self, user_id: str, inbox: Inbox) -> Inbox:
        """Return the inbox of a user after a mark, with what this process has stored meanwhile."""
        recent = self._users.get(user_id)
        if recent is None:
            return inbox
        recent.inbox = _combined(recent.inbox, inbox)
        return recent.inbox

    async def check(self) -> None:
        """Read the inboxes of all users who have been notified since the last check; forget the others. Raises
        Unavailable."""
        self._users = {user_id: each for user_id, each in self._users.items() if each.due}
        due = dict(self._users)
        for recent in due.values():
            recent.due = False
        began = time.monotonic()
        try:
            read = await self._store.inboxes(due) if due else {}
        except BaseException:
            for recent in due.values():
                recent.due = True
            raise
        for user_id, recent in due.items():
            recent.read_at = began
            current = _combined(recent.inbox, read[user_id])
            if current.version > recent.inbox.version:
                self._on_difference(user_id, current)
            recent.inbox = current

    async def _check_later(self) -> None:
        await self._notified.wait()
        await asyncio.sleep(CHECK_INTERVAL)
        await self.check()
        if not self._users:
            self._notified.clear()


def _combined(one: Inbox, other: Inbox) -> Inbox:
    """Return the inbox with the later read state of both, and the later number. More is read in the later one."""
    read, earlier = (one, other) if _read(one) > _read(other) else (other, one)
    return read.with_last_seq(earlier.last_seq)


def _read(inbox: Inbox) -> int:
    return inbox.last_seq - inbox.unread
