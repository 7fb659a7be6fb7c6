"""`/healthz`: the process runs. `/readyz`: the process can serve requests."""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from sanic import HTTPResponse, Request

from service.common.errors import Unavailable
from service.datastores.redis import REDIS_ERRORS
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response

PING_TIMEOUT = 1.0
"""Seconds for a datastore to answer. A load balancer probes every few seconds and does not wait much longer."""


Ping = Callable[[], Awaitable[object]]
"""Sends a command that the datastore can answer only if it works; raises otherwise."""


class Health(BaseModel):
    """`status` is "ok"; any other state is an error response."""

    status: str = "ok"


def blueprint(mongo: Ping, redis: Ping, bus: Callable[[], bool], draining: Callable[[], bool]) -> Blueprint:
    """`bus()` returns whether messages of this process have gone through Redis and back recently; `draining()` whether
    this process is shutting down."""
    bp = Blueprint("health")
    checking: asyncio.Task[list[str]] | None = None

    @bp.get("/healthz")
    @endpoint("Check that the process runs", tag="operation", responses={200: Health})
    async def healthz(request: Request) -> HTTPResponse:
        return json_response(Health())

    @bp.get("/readyz")
    @endpoint("Check that the process can serve requests", tag="operation", responses={200: Health})
    async def readyz(request: Request) -> HTTPResponse:
        """The datastores answer, messages reach the other processes, and the process is not shutting down."""
        if draining():
            raise Unavailable("The server is shutting down.")
        nonlocal checking
        if checking is None or checking.done():
            checking = asyncio.create_task(_unreachable(mongo, redis, bus))
        # Anybody may request this: requests at the same time share one check.
        unreachable = await asyncio.shield(checking)
        if unreachable:
            raise Unavailable(f"Unavailable: {', '.join(unreachable)}.")
        return json_response(Health())

    return bp


async def _unreachable(mongo: Ping, redis: Ping, bus: Callable[[], bool]) -> list[str]:
    """Return the names of the datastores that do not work."""
    reachable = await asyncio.gather(_is_reachable(mongo), _is_reachable(redis))
    unreachable = [name for name, ok in zip(("MongoDB", "Redis"), reachable, strict=True) if not ok]
    if not bus() and "Redis" not in unreachable:
        # Redis answers commands but delivers no messages: its user may lack the permission for the channel.
        unreachable.append("Redis pub/sub")
    return unreachable


async def _is_reachable(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            await ping()
    except (Unavailable, *REDIS_ERRORS):
        return False
    return True
