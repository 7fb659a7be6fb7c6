"""The indexes that the service requests, and whether the database has them as requested."""

import asyncio
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from service.datastores.mongo import Database

ESSENTIAL_OPTIONS = ("unique", "partialFilterExpression", "expireAfterSeconds")
"""Options of an index without which the service would not be correct. Some databases that speak MongoDB's protocol
accept and ignore them."""


class IndexRequests(CommandListener):
    """Records each index that a client creates. Pass it to the client as a listener."""

    def __init__(self) -> None:
        self._requested: dict[str, list[dict[str, Any]]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "createIndexes":
            self._requested.setdefault(event.command["createIndexes"], []).extend(event.command["indexes"])

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    async def ignored(self, database: Database) -> str | None:
        """Return the first essential option that `database` has ignored, with its index; None if there is none."""
        problems = await asyncio.gather(*(self._ignored_of(database, name) for name in self._requested))
        return next((problem for problem in problems if problem), None)

    async def _ignored_of(self, database: Database, collection: str) -> str | None:
        found = await database[collection].index_information()
        for request in self._requested[collection]:
            for option in ESSENTIAL_OPTIONS:
                if option in request and option not in found.get(request["name"], {}):
                    return f"{option} of the index {request['name']} on {collection}"
        return None
