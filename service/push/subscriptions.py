"""Push subscriptions of users: made, replaced and ended."""

from datetime import timedelta

from service.accounts.sessions import SessionStore
from service.common.errors import ValidationFailed
from service.common.identity import Identity
from service.common.times import now
from service.push.hosts import PushHosts
from service.push.models import NewSubscription, PushKey
from service.push.subscription_store import Subscription, SubscriptionStore, subscription_id
from service.push.vapid_store import VapidStore

EXTERNAL_LIFETIME = timedelta(days=30)
"""How long a session of tokens from outside outlasts them if it has a subscription: such tokens end minutes after the
last tab was closed, and then is when pushes begin. The session stays in the list of devices, and can be ended."""


class SubscriptionService:
    """All methods raise Unavailable.

    A subscription is used only while its session is active: what reads them for a push compares both, and what it
    finds ended it deletes. `delete_ended` deletes the others.
    """

    def __init__(
        self, subscriptions: SubscriptionStore, keys: VapidStore, sessions: SessionStore, hosts: PushHosts
    ) -> None:
        self._subscriptions = subscriptions
        self._keys = keys
        self._sessions = sessions
        self._hosts = hosts
        self._checked_up_to = ""

    async def key(self) -> PushKey:
        """Return the key that browsers subscribe with."""
        return PushKey(public_key=(await self._keys.key()).public_key)

    async def subscribe(self, caller: Identity, new: NewSubscription, language: str, origin: str) -> None:
        """Store a subscription of the caller's session, in place of an earlier one with this endpoint.

        Raises ValidationFailed (`endpoint`) unless it is on a known push service.
        """
        if not self._hosts.allow(new.endpoint):
            raise ValidationFailed.of("endpoint", "Is not an https URL on a known push service")
        await self._sessions.keep_external(caller.session_id, caller.user_id, now() + EXTERNAL_LIFETIME)
        await self._subscriptions.put(
            Subscription(
                id=subscription_id(new.endpoint),
                user_id=caller.user_id,
                session_id=caller.session_id,
                endpoint=new.endpoint,
                p256dh=new.keys.p256dh,
                auth=new.keys.auth,
                language=language,
                origin=origin,
            )
        )

    async def unsubscribe(self, caller: Identity, endpoint: str) -> None:
        """End the caller's subscription with this endpoint, if there is one."""
        await self._subscriptions.delete(endpoint, caller.user_id)

    async def active(self, subscriptions: list[Subscription]) -> list[Subscription]:
        """Return those whose session is neither revoked nor expired, on a push service that is still known. Delete the
        others."""
        sessions = await self._sessions.active((each.user_id, each.session_id) for each in subscriptions)
        active = [each for each in subscriptions if each.session_id in sessions and self._hosts.allow(each.endpoint)]
        for each in subscriptions:
            if each not in active:
                await self._subscriptions.delete_ended(each)
        return active

    async def delete_ended(self) -> int:
        """Delete a batch of subscriptions of ended sessions. Returns their number, 0 once all have been compared."""
        while batch := await self._subscriptions.after(self._checked_up_to):
            self._checked_up_to = batch[-1].id
            if ended := len(batch) - len(await self.active(batch)):
                return ended
        self._checked_up_to = ""
        return 0
