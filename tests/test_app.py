"""Shutdown of the whole app."""

import asyncio
import signal
from collections import Counter

import httpx

from tests.conftest import Run
from tests.processes.test_supervisor import register


async def test_requests_during_shutdown_succeed_or_get_503(run: Run) -> None:
    """No request uses a service that has been closed already."""
    server = run(RATE_LIMITS="off")
    token = register(server, "an.nguyen")
    statuses: Counter[int] = Counter()

    async def ask(client: httpx.AsyncClient, path: str) -> None:
        while True:
            try:
                statuses[(await client.get(path)).status_code] += 1
            except httpx.HTTPError:
                return

    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", headers=headers, timeout=10) as client:
        paths = ("/users/me", "/conversations", "/notifications", "/posts")
        async with asyncio.TaskGroup() as group:
            for place in range(24):
                group.create_task(ask(client, paths[place % len(paths)]))
            await asyncio.sleep(1)
            server.signal(signal.SIGTERM)
    assert 0 == await asyncio.to_thread(server.wait)
    assert statuses[200]
    assert {200, 503} >= statuses.keys(), statuses
    assert "request_failed" not in server.text
