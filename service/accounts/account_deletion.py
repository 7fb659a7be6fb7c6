"""The deletion of an account by its owner."""

from service.accounts.passwords import Passwords
from service.accounts.user_remover import UserRemover
from service.accounts.users import UserStore
from service.common.errors import BadCredentials, NotFound, ValidationFailed
from service.common.identity import Identity


class AccountDeletion:
    """Checks that it is the owner who deletes an account, and begins the deletion. See UserRemover for the rest."""

    def __init__(self, users: UserStore, passwords: Passwords, remover: UserRemover) -> None:
        self._users = users
        self._passwords = passwords
        self._remover = remover

    async def delete(self, caller: Identity, password: str | None, address: str) -> None:
        """Delete the caller's account. `address`: whose turn it is to have a password hashed.

        A user of the site beside has no password, and needs none. Raises ValidationFailed (`password`) without one,
        BadCredentials if it is wrong, NotFound, RateLimited and Unavailable. After Unavailable, the deletion may have
        begun; a repeated request completes it without looking at the password, which is erased first.
        """
        user = await self._users.get(caller.user_id)
        if user is None:
            raise NotFound
        if user.external_id is None and not user.is_deleted:
            if password is None:
                raise ValidationFailed.of("password", "Confirm the deletion with your password.")
            if not await self._passwords.verify(user.password_hash, password, ("password", address)):
                raise BadCredentials("The password is wrong.")
        await self._remover.remove(user)
