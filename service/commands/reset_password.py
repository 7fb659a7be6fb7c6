"""`python -m service reset-password`: gives a user a new password and ends all of their sessions."""

import secrets

from pydantic import TypeAdapter, ValidationError

from config.settings import Settings
from service.accounts.models import NewPassword
from service.accounts.passwords import Passwords, WeakPassword
from service.commands.connected import CommandFailed, Datastores, connected, revocation
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel


def random_password() -> str:
    """Return a password of 20 characters that nobody can guess."""
    return secrets.token_urlsafe(15)


async def reset_password(settings: Settings, username: str, password: str) -> None:
    """Give `username` this password. Raises CommandFailed, also for a password that a user could not choose."""
    try:
        TypeAdapter(NewPassword).validate_python(password)
    except ValidationError as error:
        raise CommandFailed(f"the password is refused: {error.errors()[0]['msg']}") from None
    async with connected(settings) as datastores:
        user = await datastores.stores.users.by_username(username.lower())
        if user is None:
            raise CommandFailed("there is no user of that name")
        if user.external_id is not None:
            raise CommandFailed("this user signs in at another site and has no password here")
        passwords = Passwords()
        try:
            password_hash = await passwords.hash_new(password, user.profile.username)
        except WeakPassword as weak:
            raise CommandFailed(f"the password is refused: {weak}") from None
        finally:
            await passwords.close()
        # Before the change, and after it: a concurrent sign-in with the old password may have begun a session.
        await _end_sessions(settings, datastores, user.id)
        if not await datastores.stores.users.change_password(user, password_hash):
            raise CommandFailed("the user has changed the password meanwhile; run it again")
        await _end_sessions(settings, datastores, user.id)


async def _end_sessions(settings: Settings, datastores: Datastores, user_id: str) -> None:
    revoked = await datastores.stores.sessions.revoke_others(user_id, keep="")
    await revocation(settings, datastores, Registry(TimerWheel())).announce(revoked)
