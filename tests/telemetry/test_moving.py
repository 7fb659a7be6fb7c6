"""On a real server, each action changes the metric that counts it."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.conftest import Run
from tests.protocol.clients import Clients
from tests.protocol.servers import load_contract

SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)")


@pytest.fixture
async def clients(run: Run) -> AsyncIterator[Clients]:
    """One process: gauges of another process are up to five seconds old in a scrape."""
    server = run(RATE_LIMITS="off")
    async with Clients(server, load_contract(server)) as clients:
        yield clients


async def scrape(clients: Clients) -> dict[str, float]:
    text = (await clients.http.get("/metrics")).text
    found = [SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#")]
    return {match[1] + (match[2] or ""): float(match[3]) for match in found if match}


async def test_actions_change_their_metrics(clients: Clients) -> None:
    """Frames, events, acks, writes of all three collections, reconnections and closed connections."""
    anna, ben = await clients.users(2)
    talk = await anna.start_conversation(ben)
    before = await scrape(clients)
    socket, bens = await anna.chat_socket(), await ben.chat_socket()
    stream = await ben.stream()
    live = await scrape(clients)
    await socket.send("ping")
    await socket.event("pong")
    await socket.request("send_message", conversation_id=talk, content="hello")
    await socket.request("typing", conversation_id=talk)
    await bens.event("new_message")
    await bens.request("sync", conversations={talk: 0})
    post = await ben.create_post()
    await anna.comment(post)
    await stream.event("NEW_COMMENT")
    await ben.stream(last_event_id=0)
    await ben.stream(last_event_id=99)
    await socket.disconnect()
    await bens.flush()
    after = await scrape(clients)

    def change(name: str, found: dict[str, float] = after) -> float:
        return found.get(name, 0.0) - before.get(name, 0.0)

    assert (2, 1) == tuple(change(f'loa_connections{{feed="{feed}"}}', live) for feed in ("chat", "notifications"))
    # Two pings: a fence is one.
    for type, count in {"ping": 2, "send_message": 1, "typing": 1, "sync": 1}.items():
        assert change(f'loa_frames_total{{type="{type}"}}') == count, type
    for type in ("new_message", "typing", "NEW_COMMENT", "unread_count"):
        assert change(f'loa_events_total{{type="{type}"}}') == 1, type
    assert 1 == change("loa_ack_seconds_count")
    for collection in ("messages", "comments", "notifications"):
        assert change(f'loa_commit_batch_count{{collection="{collection}"}}') == 1, collection
    assert 1 == change('loa_resumes_total{feed="chat",outcome="ok"}')
    for outcome in ("ok", "reset"):
        assert change(f'loa_resumes_total{{feed="notifications",outcome="{outcome}"}}') == 1
    assert 1 == change('loa_connections_closed_total{feed="chat",reason="closed"}')
    assert 1 == change('loa_http_requests_total{method="POST",route="/api/v1/posts",status="201"}')
    assert 1 == change('loa_http_request_seconds_count{method="POST",route="/api/v1/posts"}')
    assert 1 == after["loa_bus_connected"]
    # The lag is known once the process has received its own heartbeat.
    async with asyncio.timeout(10):
        while not (lag := (await scrape(clients))["loa_bus_lag_seconds"]):
            pass
    assert lag < 5
