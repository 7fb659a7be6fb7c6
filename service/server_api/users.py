"""The people of a site, as its servers see and manage them."""

from service.accounts.access_issuer import AccessIssuer
from service.accounts.external_users import ExternalProfile, ExternalUsers
from service.accounts.user_remover import UserRemover
from service.accounts.users import User
from service.chat.conversation_service import ConversationService
from service.notifications.service import NotificationService
from service.realtime.presence_service import PresenceService
from service.server_api.models import AccessToken, NewToken, ServerUser, ServerUserState, Unread, UserFields

PAGE_SIZE = 100
MAX_PAGES = 20
"""Pages of a user's conversations whose unread messages are counted: 2,000 conversations."""


class ServerUsers:
    """Users by their external ids. Methods raise NotFound if there is no such user, and Unavailable."""

    def __init__(
        self,
        users: ExternalUsers,
        access: AccessIssuer,
        conversations: ConversationService,
        notifications: NotificationService,
        presence: PresenceService,
        remover: UserRemover,
    ) -> None:
        self._users = users
        self._access = access
        self._conversations = conversations
        self._notifications = notifications
        self._presence = presence
        self._remover = remover

    async def put(self, external_id: str, fields: UserFields) -> tuple[ServerUser, bool]:
        """Create or change the user. Return it, and whether it is new."""
        profile = ExternalProfile(display_name=fields.display_name)
        if fields.username is not None:
            profile["username"] = fields.username
        if "avatar" in fields.model_fields_set:
            profile["avatar"] = fields.avatar
        user, created = await self._users.put(external_id, profile)
        return ServerUser(**_profile(user)), created

    async def get(self, external_id: str) -> ServerUserState:
        """Return the user's profile and state."""
        user = await self._users.find(external_id)
        state = (await self._presence.states([user.id]))[user.id]
        unread = Unread(
            messages=await self._unread_messages(user.id),
            notifications=await self._notifications.unread_count(user.id),
        )
        return ServerUserState(**_profile(user), **state, unread=unread)

    async def delete(self, external_id: str) -> None:
        """Begin to delete the user, whose external id is free at once."""
        await self._remover.remove(await self._users.find(external_id))

    async def revoke(self, external_id: str) -> None:
        """End every token of the user that was issued until now, and their connections."""
        await self._users.revoke_all(external_id)

    async def issue_token(self, key_name: str, external_id: str, new: NewToken) -> AccessToken:
        """Return an access token for the user."""
        user = await self._users.find(external_id)
        issued = await self._access.issue(user.id, new.expires_in, key_name)
        return AccessToken(access_token=issued.text, expires_in=new.expires_in)

    async def _unread_messages(self, user_id: str) -> int:
        total, cursor = 0, None
        for _ in range(MAX_PAGES):
            items, cursor = await self._conversations.page(user_id, PAGE_SIZE, cursor)
            total += sum(item["unread_count"] for item in items)
            if cursor is None:
                break
        return total


def _profile(user: User) -> dict[str, str | None]:
    return {**user.profile.model_dump(), "external_id": user.external_id}
