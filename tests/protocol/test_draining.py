"""SIGTERM: every connection is told when to come back, and nothing is left."""

import asyncio
import signal
from pathlib import Path

from tests.protocol.contract import Contract
from tests.protocol.servers import served
from tests.protocol.world import World
from tests.running import alive


async def test_drain(tmp_path: Path, contract: Contract) -> None:
    """Sockets hear `draining` and are closed with 1012, streams hear it with `retry` and end; exit code 0, no child."""
    async with served(tmp_path, WEB_CONCURRENCY="2") as server, World(server, contract) as world:
        anna, ben = await world.people(2)
        direct = await anna.talk(ben)
        chats = [await anna.chat() for _ in range(4)]
        sockets = [await anna.notification_socket() for _ in range(3)]
        streams = [await anna.stream() for _ in range(4)]
        children = server.children
        sent = [asyncio.create_task(ben.call("POST", f"/conversations/{direct}/messages", {"content": "x"}))]
        server.signal(signal.SIGTERM)
        delays = []
        for socket in (*chats, *sockets):
            event = await socket.event("draining")
            data = event.get("data", event)
            delays.append(data["reconnect_after_ms"])
            assert (1012, "restart") == await socket.closed()
        for stream in streams:
            event = await stream.event("draining")
            assert {"reconnect_after_ms"} == set(event["data"])
            delays.append(event["data"]["reconnect_after_ms"])
            assert event["data"]["reconnect_after_ms"] == await stream.retry(2)
            await stream.closed()
        assert all(0 < delay < 60_000 for delay in delays)
        assert len(set(delays)) > len(delays) // 2, f"they would all come back together: {delays}"
        assert 0 == await asyncio.to_thread(server.wait)
        assert children
        assert [] == [child for child in children if alive(child)]
        for answer in await asyncio.gather(*sent, return_exceptions=True):
            assert isinstance(answer, Exception) or answer.status_code in (201, 503)
