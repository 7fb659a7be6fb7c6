"""Changes of users that have been stored and not carried out yet: in the background, also after a crash."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis

from service.accounts.users import UserStore
from service.common.tasks import count_failure, run_together
from service.datastores.lease import Lease
from service.datastores.leased_task import LEASE_TTL, LeasedTask

log = structlog.get_logger()

POLL_INTERVAL = 5.0
"""Seconds between two looks for users of whom something is pending."""
BATCH_SIZE = 100
CONCURRENT = 4
"""Deletions at the same time. Each waits for up to half a minute until the user's connections have ended."""
TASK = "pending_user_changes"

Step = Callable[[str], Awaitable[object]]


class PendingUserChanges:
    """Deletes all users who are marked for it, because they or a server of their site have requested it, and completes
    bans, on one process of the deployment. The users' documents are the queue.

    Each can be repeated from its beginning, so one that a crash has interrupted is completed by the process that holds
    the lease then. One that fails is tried again after the others.
    """

    def __init__(self, users: UserStore, delete: Step, complete_ban: Step, redis: "Redis", tag: str) -> None:
        """`delete(username)` deletes a user with all of their data, `complete_ban(user_id)` ends what a banned user
        still has; both remove the mark. `tag`: as in `connect`."""
        self._users = users
        self._delete = delete
        self._complete_ban = complete_ban
        self._task = LeasedTask(Lease(redis, f"{tag}:deletions:lease", LEASE_TTL), self._run, TASK)

    async def start(self) -> None:
        await self._task.start()

    async def close(self) -> None:
        await self._task.close()

    async def _run(self) -> None:
        await run_together(
            _repeat("user_deleted", self._users.being_deleted, self._delete),
            _repeat("user_banned", self._users.being_banned, self._complete_ban),
        )


async def _repeat(done: str, pending: Callable[[int], Awaitable[list[str]]], step: Step) -> None:
    """`done`: the event for the log after each step."""
    failed = done.replace("user_", "user_not_")
    slots = asyncio.Semaphore(CONCURRENT)

    async def logged(key: str) -> None:
        async with slots:
            try:
                await step(key)
            except Exception as error:
                count_failure(TASK)
                log.warning(failed, error=type(error).__name__)
            else:
                log.info(done)

    while True:
        await asyncio.gather(*map(logged, await pending(BATCH_SIZE)))
        await asyncio.sleep(POLL_INTERVAL)
