"""Records the commands that reach a Redis database, for tests that count them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from service.datastores.redis import database_number

END = "end of the recording"
CONNECTING = ("HELLO", "SELECT", "CLIENT", "CLUSTER", "INFO", "PING")
"""Commands that clients send when they connect."""


@asynccontextmanager
async def monitored(redis: Redis) -> AsyncIterator[list[str]]:
    """The names of the commands to the database of `redis`, complete after the block.

    The server's own statistics also count the commands of servers that other tests share, which use other databases.
    """
    names: list[str] = []
    async with redis.monitor() as monitor:
        yield names
        await redis.echo(END)
        while END not in (command := await monitor.next_command())["command"]:
            name = command["command"].partition(" ")[0].upper()
            in_script = command["client_type"] == "lua"
            if command["db"] == database_number(redis) and not in_script and name not in CONNECTING:
                names.append(name)
