"""Notifications that the servers of a site send, of types of the site's own."""

import asyncio
from collections.abc import Sequence

from service.accounts.external_users import ExternalUsers
from service.common.blocks import Blocks, blockers
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile
from service.notifications.models import CustomRequest
from service.notifications.service import NotificationService
from service.server_api.models import NewNotification, Notified

BATCH_SIZE = 256
"""Users who are notified together."""
IN_FLIGHT = 2
"""Batches of one call at the same time: one is stored while the one before is published. The notifications of others
wait for no more than these."""


class ServerNotifications:
    """Notifies users by their external ids. Methods raise Unavailable."""

    def __init__(self, users: ExternalUsers, notifications: NotificationService, blocks: Blocks) -> None:
        self._users = users
        self._notifications = notifications
        self._blocks = blocks

    async def send(self, key_name: str, new: NewNotification) -> Notified:
        """Store the notification for each recipient who does not block the sender, and publish it. Those who do count
        as accepted: nobody is informed of a block.

        If it fails, some may have it; with a nonce the request can be repeated. Raises ValidationFailed (`sender`),
        NonceReused.
        """
        sender = await self._sender(new.sender) if new.sender is not None else None
        to = list(dict.fromkeys(new.to))
        user_ids = await self._users.user_ids(to)
        blocking = await blockers(self._blocks, sender.id, user_ids.values()) if sender else set()
        key = None if new.nonce is None else f"{key_name}:{new.nonce}"
        # Two external ids have different users.
        requests = [
            CustomRequest(new.type, user_id, sender, new.preview, new.url, new.extra, new.group_key, key)
            for user_id in user_ids.values()
            if user_id not in blocking
        ]
        await self._notify(requests)
        return Notified(accepted=len(user_ids), unknown=[one for one in to if one not in user_ids])

    async def _notify(self, requests: Sequence[CustomRequest]) -> None:
        """Notify everybody. Raises the first error if there was one."""
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def notify(batch: Sequence[CustomRequest]) -> list[Exception | None]:
            async with slots:
                return await self._notifications.notify(batch)

        batches = [requests[start : start + BATCH_SIZE] for start in range(0, len(requests), BATCH_SIZE)]
        for outcome in await asyncio.gather(*map(notify, batches), return_exceptions=True):
            errors = [outcome] if isinstance(outcome, BaseException) else [error for error in outcome if error]
            if errors:
                raise errors[0]

    async def _sender(self, external_id: str) -> Profile:
        try:
            return (await self._users.find(external_id)).profile
        except NotFound:
            raise ValidationFailed.of("sender", "There is no such user.") from None
