"""What the database is asked: for tests that hold how often."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from pymongo import monitoring

from service.datastores.mongo import Mongo
from tests.conftest import Datastores, drop_database


class Commands(monitoring.CommandListener):
    """Notes each command as "find posts", in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.seen.append(f"{event.command_name} {event.command.get(event.command_name)}")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@asynccontextmanager
async def overheard(datastores: Datastores) -> AsyncIterator[tuple[Mongo, Commands]]:
    """A client with a database of its own, and what it asks."""
    uri = datastores.database(f"test_{uuid4().hex}")
    commands = Commands()
    mongo = Mongo(uri, [commands])
    try:
        yield mongo, commands
    finally:
        mongo.close()
        await drop_database(uri)
