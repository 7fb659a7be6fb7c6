"""`python -m service grant` and `revoke`: give a user a role, or take it away."""

from config.settings import Settings
from service.commands.connected import CommandFailed, connected


async def change_role(settings: Settings, username: str, role: str, *, on: bool) -> None:
    """Idempotent, in force with the next request, and in the log of moderation. Raises CommandFailed."""
    async with connected(settings) as datastores:
        stores = datastores.stores
        user = await stores.users.by_username(username.lower())
        if user is None:
            raise CommandFailed("there is no user of that name")
        await stores.moderation_log.add(None, "grant" if on else "revoke", "user", user.id, reason=role)
        await stores.users.set_role(user.id, role, on=on)
