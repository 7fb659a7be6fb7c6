"""What anonymous clients ask for costs the server little, however often they ask."""

import asyncio
import statistics
import time

import httpx
import pytest

from tests.load.machine import cpu_seconds
from tests.protocol.clients import API, Clients
from tests.running import Server

CLIENTS = 20
SECONDS = 1.0
COST = 0.25
"""Processor seconds, as a median, that the server uses before it answers `/healthz` meanwhile: 2 ms when it is quiet,
and 9 s when the documents were built for each request. Time on the clock depends on what else the machine runs."""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/", None),
        ("GET", "/client/index.js", None),
        ("GET", "/app/nothing.js", None),
        ("GET", "/metrics", None),
        ("GET", "/readyz", None),
        ("GET", "/docs", None),
        ("GET", "/docs/openapi.json", None),
        ("GET", "/asyncapi.json", None),
        ("POST", API + "/auth/login", {"username": "nobody.at.all", "password": "wrong password"}),
        ("POST", API + "/auth/register", {"username": "a", "password": "short"}),
        ("POST", API + "/auth/refresh", {"refresh_token": "garbage"}),
        ("GET", API + "/ws/chat", None),
        ("GET", API + "/notifications/stream?token=garbage", None),
    ],
)
async def test_healthz_stays_fast_while_anonymous_clients_ask(
    server: Server, method: str, path: str, body: dict[str, str] | None
) -> None:
    """Twenty clients without credentials, each with one request after the other, and no rate limits."""
    workers = server.workers
    until = time.monotonic() + SECONDS
    costs: list[float] = []

    async def ask() -> None:
        while time.monotonic() < until:
            await http.request(method, path, json=body)

    async def probe() -> None:
        while time.monotonic() < until:
            used = cpu_seconds(workers)
            assert 200 == (await http.get("/healthz")).status_code
            costs.append(cpu_seconds(workers) - used)
            await asyncio.sleep(0.01)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits, trust_env=False) as http:
        await asyncio.gather(probe(), *(ask() for _ in range(CLIENTS)))
    assert workers == server.workers
    assert statistics.median(costs) < COST


async def test_metrics_are_read_once_for_many_requests(clients: Clients) -> None:
    """Fifty requests at the same time get at most a few readings."""
    answers = await asyncio.gather(*(clients.http.get("/metrics") for _ in range(50)))
    assert {200} == {answer.status_code for answer in answers}
    assert len({answer.text for answer in answers}) <= 10
