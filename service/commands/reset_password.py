"""`python -m service reset-password`: makes a link with which a user chooses a new password."""

from config.settings import Settings
from service.accounts.reset_links import LIFETIME, ResetLink, ResetToken
from service.commands.connected import CommandFailed, connected
from service.common.times import now


async def reset_link(settings: Settings, username: str, origin: str | None) -> str:
    """Return the link, which is good once, for an hour, and ends an earlier one. Raises CommandFailed.

    `origin`: where users open the app; None: where this machine does.
    """
    async with connected(settings) as datastores:
        user = await datastores.stores.users.by_username(username.lower())
        if user is None:
            raise CommandFailed("there is no user of that name")
        if user.external_id is not None:
            raise CommandFailed("this user signs in at another site and has no password here")
        token = ResetToken.new(user.id)
        await datastores.stores.users.set_reset_link(user.id, ResetLink(token.digest, now() + LIFETIME))
    # Behind `#`, so that no request, log or Referer contains the token.
    return f"{(origin or own_origin(settings)).rstrip('/')}/#/reset/{token}"


def own_origin(settings: Settings) -> str:
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
