"""The commands to Redis as spans of whatever they are for."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.telemetry.tracing import CURRENT, step

UNTRACED = nullcontext()


def command(name: str, size: int = 1) -> AbstractContextManager[None]:
    """A span for `size` commands sent as one, where they belong to a trace: a name, and nothing of what they say."""
    parent = CURRENT.get()
    if parent is None:
        return UNTRACED
    attributes: dict[str, str | int] = {"db.system.name": "redis", "db.operation.name": name}
    if size > 1:
        attributes["db.operation.batch.size"] = size
    return step(parent.child(f"redis {name}", attributes))


class TracedRedis(Redis):
    """A client whose commands are spans."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with command(args[0]):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "TracedPipeline":
        return TracedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class TracedPipeline(Pipeline):
    """A pipeline, or transaction, that is one span."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        with command("MULTI" if self.is_transaction else "PIPELINE", len(self)):
            return await super().execute(raise_on_error)
