"""Several processes, of which one indexes; killed, it loses nothing."""

import asyncio
import os
import signal

import pytest

from tests.conftest import Run
from tests.protocol.clients import Clients
from tests.protocol.servers import load_contract
from tests.running import eventually

MESSAGES = 40


@pytest.mark.scenario
async def test_four_workers_index_once_and_killed_ones_lose_nothing(run: Run) -> None:
    """All workers are killed right after the last message: the next ones find every message, each once."""
    server = await asyncio.to_thread(run, WEB_CONCURRENCY="4", RATE_LIMITS="off")
    async with Clients(server, load_contract(server)) as clients:
        anna, ben = await clients.users(2)
        chat = await anna.start_conversation(ben)
        sent = [(await anna.send_message(chat, f"findable {number}"))["id"] for number in range(MESSAGES)]
        for pid in server.workers:
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(eventually, lambda: server.status("/readyz") == 200, 60)
        found: list[str] = []
        async with asyncio.timeout(60):
            while len(found) < MESSAGES:
                await asyncio.sleep(0.1)
                items = (await ben.get("/search/messages", q="find", limit=50))["items"]
                found = [each["message"]["id"] for each in items]
        assert sent[::-1] == found
