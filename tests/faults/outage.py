"""Outages of a datastore, which end with the block."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.environment import FaultEnvironment
from tests.proxy import Proxy
from tests.running import alive, eventually

OUTAGES = ("killed", "stopped", "silent", "reset")
"""Killed by SIGKILL and started again; stopped by SIGSTOP; silent, like an unplugged cable; or all connections are
reset once and new ones work."""


@asynccontextmanager
async def outage(env: FaultEnvironment, name: str, how: str, proxy: Proxy) -> AsyncIterator[None]:
    """Take down the datastore `name` ("mongo" or "redis"), to which `proxy` leads."""
    if how == "killed":
        pid = env.datastores.pid(name)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid))
        yield
        await (env.datastores.mongo if name == "mongo" else env.datastores.redis).start()
    elif how == "stopped":
        pid = env.datastores.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: " T " in Path(f"/proc/{pid}/stat").read_text())
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
    elif how == "silent":
        proxy.blackhole()
        yield
        await proxy.restore()
    else:
        assert how == "reset"
        proxy.reset()
        yield
