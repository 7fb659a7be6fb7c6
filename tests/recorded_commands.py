"""Records the commands that are sent to the database, for tests that count them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from pymongo import monitoring

from service.datastores.mongo import Mongo
from tests.conftest import Datastores, drop_database


class Commands(monitoring.CommandListener):
    """Records each command as "find posts", in order."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.recorded.append(f"{event.command_name} {event.command.get(event.command_name)}")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@asynccontextmanager
async def recording(datastores: Datastores) -> AsyncIterator[tuple[Mongo, Commands]]:
    """A client of a database of its own, and the commands that it sends."""
    uri = datastores.database(f"test_{uuid4().hex}")
    commands = Commands()
    mongo = Mongo(uri, [commands])
    try:
        yield mongo, commands
    finally:
        mongo.close()
        await drop_database(uri)
