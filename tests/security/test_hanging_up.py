"""A client that hangs up in the middle of its request: what was stored is told all the same."""

import asyncio
import json
from urllib.parse import urlsplit

from tests.protocol.inbox import Frame
from tests.protocol.world import API, Person, World

TIMES = 25
STEP = 0.0008
"""Seconds: each request is hung up on a little later than the last, so that some are met between store and tell."""


async def hang_up(person: Person, method: str, path: str, body: object, after: float) -> None:
    """Send a whole request, wait so many seconds, and reset the connection."""
    place = urlsplit(person.world.server.url)
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(
        f"{method} {API}{path} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {person.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    await asyncio.wait([asyncio.create_task(reader.read(1))], timeout=after)
    writer.transport.abort()


async def test_a_change_that_is_stored_is_told(world: World) -> None:
    """Of a group that was renamed by one who did not wait, every member hears the title that it then has."""
    anna, ben = await world.people(2)
    group = await anna.talk(ben, title="At first")
    socket = await ben.chat()
    stored = 0
    for count in range(TIMES):
        title = f"Title {count}"
        await hang_up(anna, "PATCH", f"/conversations/{group}", {"title": title}, count * STEP)
        if (await ben.get(f"/conversations/{group}"))["title"] == title:
            stored += 1

            def is_it(event: Frame, title: str = title) -> bool:
                return bool(event["data"]["title"] == title)

            told = await socket.event("conversation_updated", is_it)
            assert group == told["conversation_id"]
    assert stored, "not one was stored before its client hung up"


async def test_a_comment_is_told_of(world: World) -> None:
    """A comment whose writer hung up is either not there, or its notification comes."""
    anna, ben = await world.people(2)
    post = await anna.publish()
    stream = await anna.stream()
    for count in range(TIMES):
        body = {"content": f"comment {count}"}
        await hang_up(ben, "POST", f"/posts/{post}/comments", body, count * STEP)
    comments = (await anna.get(f"/posts/{post}/comments", limit=100))["items"]
    for _ in comments:
        await stream.notification()
    assert {comment["id"] for comment in comments} <= {
        event["data"]["comment_id"] for event in stream.seen if event["type"] == "NEW_COMMENT"
    }
