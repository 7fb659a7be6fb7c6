"""Several processes, of which one pushes; killed, it loses nothing."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

from tests.conftest import Run
from tests.protocol.clients import Clients
from tests.protocol.servers import load_contract
from tests.push.push_service import CREATED, Push, PushServiceDouble
from tests.running import eventually

MESSAGES = 24


def environment(service: PushServiceDouble, directory: Path, **more: str) -> dict[str, str]:
    return {
        "PUSH_HOSTS": service.host,
        "PUSH_PRIVATE": "on",
        "PUSH_DELAY": "1",
        "RATE_LIMITS": "off",
        "SSL_CERT_FILE": str(directory / "localhost.pem"),
        **more,
    }


async def test_four_workers_push_once_and_a_killed_one_loses_nothing(
    run: Run, push_service: PushServiceDouble, tmp_path: Path
) -> None:
    """All workers are killed while pushes wait and one is under way: each arrives, and only what was being posted
    arrives twice."""
    server = await asyncio.to_thread(run, WEB_CONCURRENCY="4", **environment(push_service, tmp_path))
    async with Clients(server, load_contract(server)) as clients:
        anna, *others = await clients.users(MESSAGES + 1)
        for number, other in enumerate(others):
            await other.post("/push/subscriptions", push_service.subscribe(str(number)))
        chats = [await anna.start_conversation(other) for other in others]
        half = MESSAGES // 2
        for chat in chats[:half]:
            await anna.send_message(chat)
        await push_service.wait(half, within=60)
        await asyncio.sleep(1.5)  # a second one would come within the time that the first one needed
        assert {1} == set(Counter(push.path for push in push_service.pushes).values())

        # From here on the push service receives, but does not answer.
        stalled: list[str] = []

        def stall(push: Push) -> bytes | None:
            stalled.append(push.path)
            return None

        push_service.behaviour = stall
        for chat in chats[half:]:
            await anna.send_message(chat)
        async with asyncio.timeout(60):
            while not stalled:
                await asyncio.sleep(0.02)
        for pid in server.workers:
            os.kill(pid, signal.SIGKILL)
        await push_service.disconnected()
        push_service.behaviour = lambda _: CREATED
        under_way = set(stalled)
        expected = {f"/push/{number}" for number in range(half, MESSAGES)}

        def answered() -> Counter[str]:
            return Counter(push.path for push in push_service.pushes[half:])

        async with asyncio.timeout(90):
            while not (answered().keys() >= expected and all(answered()[path] >= 2 for path in under_way)):
                await asyncio.sleep(0.05)
        await asyncio.to_thread(eventually, lambda: server.status("/readyz") == 200, 60)
        await asyncio.sleep(1.5)
        assert expected == answered().keys()
        assert all(count == (2 if path in under_way else 1) for path, count in answered().items()), answered()
