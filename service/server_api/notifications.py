"""Notifications that the servers of a site send, of types of the site's own."""

from service.accounts.external_users import ExternalUsers
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile
from service.notifications.models import CustomRequest
from service.notifications.service import NotificationService
from service.server_api.models import NewNotification, Notified

BATCH_SIZE = 256
"""Users who are notified together. Other requests get their turn in between."""


class ServerNotifications:
    """Notifies users by their external ids. Methods raise Unavailable."""

    def __init__(self, users: ExternalUsers, notifications: NotificationService) -> None:
        self._users = users
        self._notifications = notifications

    async def send(self, key_name: str, new: NewNotification) -> Notified:
        """Store the notification for each recipient, and publish it.

        If it fails, some may have it; with a nonce the request can be repeated. Raises ValidationFailed (`sender`),
        NonceReused.
        """
        sender = await self._sender(new.sender) if new.sender is not None else None
        to = list(dict.fromkeys(new.to))
        user_ids = await self._users.user_ids(to)
        key = None if new.nonce is None else f"{key_name}:{new.nonce}"
        # Two external ids have different users.
        requests = [
            CustomRequest(new.type, user_id, sender, new.preview, new.url, new.extra, new.group_key, key)
            for user_id in user_ids.values()
        ]
        for start in range(0, len(requests), BATCH_SIZE):
            for error in await self._notifications.notify(requests[start : start + BATCH_SIZE]):
                if error:
                    raise error
        return Notified(accepted=len(requests), unknown=[one for one in to if one not in user_ids])

    async def _sender(self, external_id: str) -> Profile:
        try:
            return (await self._users.find(external_id)).profile
        except NotFound:
            raise ValidationFailed.of("sender", "There is no such user.") from None
