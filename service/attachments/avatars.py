"""Attachments that are the avatars of users."""

from collections.abc import Iterable
from typing import Protocol

from bson import ObjectId

from service.attachments.attachment_store import Claim
from service.attachments.attachments import Attachments
from service.common.avatars import avatar_url, uploaded_id
from service.common.errors import NotFound, ValidationFailed
from service.common.profiles import Profile


class Users(Protocol):
    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """See `service.common.profiles.Profiles`."""
        ...


class Avatars:
    """Implements Holder. Everyone sees an avatar in reduced size (`AttachmentService.avatar`); only the user who has
    uploaded it sees the file itself."""

    def __init__(self, users: Users, attachments: Attachments) -> None:
        self._users = users
        self._attachments = attachments

    async def holds(self, claim: Claim, attachment_id: ObjectId) -> bool:
        user_id = str(claim.object_id)
        profile = (await self._users.profiles([user_id])).get(user_id)
        return profile is not None and profile.avatar == avatar_url(str(attachment_id))

    async def check_visible(self, viewer: str, claim: Claim, attachment_id: ObjectId) -> None:
        if viewer != str(claim.author_id) or not await self.holds(claim, attachment_id):
            raise NotFound

    async def prepare(self, user_id: str, avatar: str | None) -> ObjectId | None:
        """To be called before `avatar` is stored as the user's: claims the image if it is an uploaded one. Returns the
        attachment that it replaces, for `remove`.

        Raises ValidationFailed (`avatar`) if there is no such image of the user, or it has been used for something
        else; Unavailable. What is claimed or replaced is swept if the profile is not stored or `remove` is not called.
        """
        if attachment_id := uploaded_id(avatar):
            user = ObjectId(user_id)
            claim = Claim("avatar", None, user, user)
            found = (await self._attachments.claim({claim: [ObjectId(attachment_id)]}))[claim]
            if not found or not found[0]["thumbnail"]:
                raise ValidationFailed.of("avatar", "There is no such image of yours, or it has been used.")
        profile = (await self._users.profiles([user_id])).get(user_id)
        former = uploaded_id(profile.avatar) if profile else None
        if former is None or former == attachment_id:
            return None
        await self._attachments.expire([ObjectId(former)])
        return ObjectId(former)

    def remove(self, replaced: ObjectId) -> None:
        """To be called once the new avatar is stored: deletes the former one in the background."""
        self._attachments.remove_later([replaced])
