"""Deletions of users that they themselves, or a server of their site, have requested: carried out in the background,
also after a crash."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis

from service.accounts.users import UserStore
from service.common.tasks import count_failure
from service.datastores.lease import Lease
from service.datastores.leased_task import LEASE_TTL, LeasedTask

log = structlog.get_logger()

POLL_INTERVAL = 5.0
"""Seconds between two looks for users who are to be deleted."""
BATCH_SIZE = 100
CONCURRENT = 4
"""Deletions at the same time. Each waits for up to half a minute until the user's connections have ended."""
TASK = "pending_deletions"


class PendingDeletions:
    """Deletes all users who are marked for it, on one process of the deployment. The users' documents are the queue.

    A deletion can be repeated from its beginning, so one that a crash has interrupted is completed by the process that
    holds the lease then. One that fails is tried again after the others.
    """

    def __init__(self, users: UserStore, delete: Callable[[str], Awaitable[object]], redis: "Redis", tag: str) -> None:
        """`delete(username)` deletes a user with all of their data, and removes the mark. `tag`: as in `connect`."""
        self._users = users
        self._delete = delete
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._task = LeasedTask(Lease(redis, f"{tag}:deletions:lease", LEASE_TTL), self._run, TASK)

    async def start(self) -> None:
        await self._task.start()

    async def close(self) -> None:
        await self._task.close()

    async def _run(self) -> None:
        while True:
            await asyncio.gather(*map(self._delete_logged, await self._users.being_deleted(BATCH_SIZE)))
            await asyncio.sleep(POLL_INTERVAL)

    async def _delete_logged(self, username: str) -> None:
        async with self._slots:
            try:
                await self._delete(username)
            except Exception as error:
                count_failure(TASK)
                log.warning("user_not_deleted", error=type(error).__name__)
            else:
                log.info("user_deleted")
