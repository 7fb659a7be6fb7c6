"""The datastores of a run: embedded servers that can be stopped, killed and started again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.settings import Settings
from service.common.child_process import Child
from service.datastores.data_directory import DataDirectory
from service.datastores.embedded import embedded


@dataclass
class Datastores:
    """After a kill, `await child.start()` starts `redis` or `mongo` again."""

    mongodb_uri: str
    redis_url: str
    mongo: Child
    redis: Child

    def pid(self, name: Literal["mongo", "redis"]) -> int:
        """The current process id."""
        pid = {"mongo": self.mongo, "redis": self.redis}[name].pid
        assert pid is not None
        return pid


@asynccontextmanager
async def datastores(directory: Path) -> AsyncIterator[Datastores]:
    """Run the datastores with their files in `directory` until the block ends. Must be entered in the main thread."""
    with DataDirectory(directory) as held:
        async with embedded(Settings(jwt_secret="x" * 32), held, print) as (found, (mongo, redis)):
            assert found.mongodb_uri
            assert found.redis_url
            try:
                yield Datastores(found.mongodb_uri, found.redis_url, mongo, redis)
            finally:
                await asyncio.sleep(0)  # cancelled tasks release their connections first
