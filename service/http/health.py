"""`/healthz`: the process runs. `/readyz`: send it requests."""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from sanic import Blueprint, HTTPResponse, Request

from service.common.errors import Unavailable
from service.datastores.redis import REDIS_ERRORS
from service.http.endpoint import endpoint, json_response

PING_TIMEOUT = 1.0
"""Seconds for a datastore to answer: a load balancer asks every few seconds, and waits not much longer than this."""


Ping = Callable[[], Awaitable[object]]
"""Asks a datastore for something that it can answer only if it works; raises where it does not."""


class Health(BaseModel):
    """`status` is "ok"; everything else is an error answer."""

    status: str = "ok"


def blueprint(mongo: Ping, redis: Ping, draining: Callable[[], bool]) -> Blueprint:
    """`draining`: whether this process is about to stop."""
    bp = Blueprint("health")

    @bp.get("/healthz")
    @endpoint("The process runs", tag="operation", answers={200: Health})
    async def healthz(request: Request) -> HTTPResponse:
        return json_response(Health())

    @bp.get("/readyz")
    @endpoint("The datastores answer and the process is not about to stop", tag="operation", answers={200: Health})
    async def readyz(request: Request) -> HTTPResponse:
        if draining():
            raise Unavailable("The server is stopping.")
        away = [
            name
            for name, there in zip(
                ("MongoDB", "Redis"), await asyncio.gather(_answers(mongo), _answers(redis)), strict=True
            )
            if not there
        ]
        if away:
            raise Unavailable(f"Away: {', '.join(away)}.")
        return json_response(Health())

    return bp


async def _answers(store: Ping) -> bool:
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            await store()
    except (Unavailable, *REDIS_ERRORS):
        return False
    return True
