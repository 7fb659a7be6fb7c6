"""MongoDB commands as spans of the current trace."""

from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from service.telemetry.tracing import CURRENT_SPAN, Span


class MongoCommandSpans(CommandListener):
    """Records each command within a trace as a span with its name and collection, but without its content."""

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if parent := CURRENT_SPAN.get():
            collection: Any = event.command.get(event.command_name)
            attributes = {"db.system.name": "mongodb", "db.operation.name": event.command_name}
            if isinstance(collection, str):
                attributes["db.collection.name"] = collection
            self._open[event.request_id] = parent.start_child(f"mongodb {event.command_name}", attributes)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if span := self._open.pop(event.request_id, None):
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        if span := self._open.pop(event.request_id, None):
            span.end("CommandFailed")
