"""A Redis client whose commands are spans of the current trace."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.telemetry.tracing import CURRENT_SPAN, use_span

UNTRACED = nullcontext()


def command_span(name: str, size: int = 1) -> AbstractContextManager[None]:
    """Return a span for `size` commands that are sent as one, without their arguments; a no-op outside a trace."""
    parent = CURRENT_SPAN.get()
    if parent is None:
        return UNTRACED
    attributes: dict[str, str | int] = {"db.system.name": "redis", "db.operation.name": name}
    if size > 1:
        attributes["db.operation.batch.size"] = size
    return use_span(parent.start_child(f"redis {name}", attributes))


class TracedRedis(Redis):
    """A client that records each command as a span."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with command_span(args[0]):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "TracedPipeline":
        return TracedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class TracedPipeline(Pipeline):
    """A pipeline or transaction that is recorded as one span."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        with command_span("MULTI" if self.is_transaction else "PIPELINE", len(self)):
            return await super().execute(raise_on_error)
