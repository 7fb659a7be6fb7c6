"""The commands of the driver as spans of whatever they are for."""

from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from service.telemetry.tracing import CURRENT, Span


class MongoCommandSpans(CommandListener):
    """A span for each command that belongs to a trace: its name and collection, and nothing of what it says."""

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if parent := CURRENT.get():
            collection: Any = event.command.get(event.command_name)
            attributes = {"db.system.name": "mongodb", "db.operation.name": event.command_name}
            if isinstance(collection, str):
                attributes["db.collection.name"] = collection
            self._open[event.request_id] = parent.child(f"mongodb {event.command_name}", attributes)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if span := self._open.pop(event.request_id, None):
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        if span := self._open.pop(event.request_id, None):
            span.end("CommandFailed")
