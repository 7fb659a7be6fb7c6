"""A client that disconnects during its request: a stored change is published all the same."""

import asyncio
import json
from urllib.parse import urlsplit

from tests.protocol.clients import API, Clients, User
from tests.protocol.received_events import Frame

ATTEMPTS = 25
DELAY_STEP = 0.0008
"""Seconds. Each request is aborted a little later than the one before, so that some are hit between store and
publish."""


async def send_and_disconnect(person: User, method: str, path: str, body: object, after: float) -> None:
    """Send a complete request, wait `after` seconds, and reset the connection."""
    address = urlsplit(person.clients.server.url)
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        f"{method} {API}{path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {person.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    await asyncio.wait([asyncio.create_task(reader.read(1))], timeout=after)
    writer.transport.abort()


async def test_a_stored_change_is_published_after_the_client_disconnects(clients: Clients) -> None:
    """If a rename was stored, every member receives the new title. Each is of another group: a later one may overtake
    it, which is then the title."""
    anna, ben = await clients.users(2)
    socket = await ben.chat_socket()
    stored = 0
    for count in range(ATTEMPTS):
        group = await anna.start_conversation(ben, title="At first")
        await send_and_disconnect(anna, "PATCH", f"/conversations/{group}", {"title": "Renamed"}, count * DELAY_STEP)
        if (await ben.get(f"/conversations/{group}"))["title"] == "Renamed":
            stored += 1

            def is_renamed(event: Frame, group: str = group) -> bool:
                return bool(event["conversation_id"] == group and event["data"]["title"] == "Renamed")

            await socket.event("conversation_updated", is_renamed)
    assert stored, "no change was stored before its client disconnected"


async def test_a_stored_comment_is_notified_after_the_client_disconnects(clients: Clients) -> None:
    """Every stored comment leads to a notification, although its author disconnected."""
    anna, ben = await clients.users(2)
    post = await anna.create_post()
    stream = await anna.stream()
    for count in range(ATTEMPTS):
        body = {"content": f"comment {count}"}
        await send_and_disconnect(ben, "POST", f"/posts/{post}/comments", body, count * DELAY_STEP)
    comments = (await anna.get(f"/posts/{post}/comments", limit=100))["items"]
    for _ in comments:
        await stream.notification()
    assert {comment["id"] for comment in comments} <= {
        event["data"]["comment_id"] for event in stream.received if event["type"] == "NEW_COMMENT"
    }
