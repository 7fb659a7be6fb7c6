"""Making a user of a running server a moderator, as the operator does."""

import asyncio
from pathlib import Path

from config.settings import Settings
from service.commands.change_role import change_role
from tests.protocol.clients import User


async def make_moderator(user: User, *, on: bool = True) -> None:
    """Grant the role, or take it away."""
    await set_moderator(user.clients.server.pid, user.username, on=on)


async def set_moderator(server_pid: int, username: str, *, on: bool = True) -> None:
    """Grant the role, or take it away, on an event loop of the command's own."""
    entries = Path(f"/proc/{server_pid}/environ").read_text().split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    names = {"MONGODB_URI", "REDIS_URL", "JWT_SECRET", "DATA_DIR"} & variables.keys()
    settings = Settings.model_validate({name.lower(): variables[name] for name in names})
    await asyncio.to_thread(asyncio.run, change_role(settings, username, "moderator", on=on))
