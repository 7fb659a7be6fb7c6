"""The ways in which a datastore goes away, and comes back when the block ends."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.stage import Stage
from tests.proxy import Proxy
from tests.running import alive, eventually

WAYS = ("killed", "stopped", "silent", "reset")
"""By kill -9 and started again; by SIGSTOP; a cable that is pulled, of which nobody is told; every connection there is
reset, after which others pass."""


@asynccontextmanager
async def outage(stage: Stage, name: str, how: str, proxy: Proxy) -> AsyncIterator[None]:
    """`name`: "mongo" or "redis", to which `proxy` leads."""
    if how == "killed":
        pid = stage.datastores.pid(name)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid))
        yield
        await (stage.datastores.mongo if name == "mongo" else stage.datastores.redis).start()
    elif how == "stopped":
        pid = stage.datastores.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: " T " in Path(f"/proc/{pid}/stat").read_text())
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
    elif how == "silent":
        proxy.silence()
        yield
        await proxy.mend()
    else:
        assert how == "reset"
        proxy.reset()
        yield
