"""What the operator of a running server does for users: granting a role, and making a link to reset a password."""

import asyncio
from pathlib import Path

from config.settings import Settings
from service.commands.change_role import change_role
from service.commands.reset_password import reset_link
from tests.protocol.clients import User


async def make_moderator(user: User, *, on: bool = True) -> None:
    """Grant the role, or take it away."""
    await set_moderator(user.clients.server.pid, user.username, on=on)


async def set_moderator(server_pid: int, username: str, *, on: bool = True) -> None:
    """Grant the role, or take it away, on an event loop of the command's own."""
    await asyncio.to_thread(asyncio.run, change_role(settings_of(server_pid), username, "moderator", on=on))


async def reset_token(user: User) -> str:
    """Return the token of a new link with which the user chooses a password."""
    command = reset_link(settings_of(user.clients.server.pid), user.username, None)
    return (await asyncio.to_thread(asyncio.run, command)).rpartition("/")[2]


def settings_of(server_pid: int) -> Settings:
    """Return the settings with which commands find the datastores of a server."""
    entries = Path(f"/proc/{server_pid}/environ").read_text().split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    names = {"MONGODB_URI", "REDIS_URL", "JWT_SECRET", "DATA_DIR"} & variables.keys()
    return Settings.model_validate({name.lower(): variables[name] for name in names})
