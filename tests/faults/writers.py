"""What people say while something is broken: numbered, until the block ends, and each until it is acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.faults.chat import ChatClient
from tests.faults.front import Front
from tests.faults.people import Person

FINISH = 60.0
"""Seconds in which, once all is whole again, what is under way has to be acknowledged."""


@asynccontextmanager
async def talk(
    clients: Sequence[ChatClient], conversation: str, pause: float = 0.02, text: str = ""
) -> AsyncIterator[None]:
    """Each of `clients` says one thing after the other, `pause` seconds after the ack of the one before; `text` makes
    it as long as one likes."""

    async def write(client: ChatClient) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            await client.say(conversation, f"{client.person.username} says {number}{text}")
            await asyncio.sleep(pause)

    enough = asyncio.Event()
    async with _finished([write(client) for client in clients], enough):
        yield


@asynccontextmanager
async def comment(front: Front, people: Sequence[Person], post: str, pause: float = 0.02) -> AsyncIterator[None]:
    """Each of `people` writes one comment after the other; each owes the post's author a notification."""

    async def write(person: Person) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            await one_comment(front, person, post, number)
            await asyncio.sleep(pause)

    enough = asyncio.Event()
    async with _finished([write(person) for person in people], enough):
        yield


async def one_comment(front: Front, person: Person, post: str, number: int) -> None:
    """Write it until it is acknowledged."""
    line = front.account.notifications
    nonce = f"{person.username}-{number}"
    line.sent[nonce] = post
    body = {"content": f"{person.username} comments {number}", "nonce": nonce}
    line.acknowledge(nonce, (await front.call("POST", f"/posts/{post}/comments", person, json=body))["id"])


@asynccontextmanager
async def _finished(writing: "list[object]", enough: asyncio.Event) -> AsyncIterator[None]:
    """Runs them beside the block; afterwards lets each finish what it has begun. Raises what one of them raised."""
    tasks = [asyncio.ensure_future(each) for each in writing]  # type: ignore[call-overload]
    try:
        yield
        enough.set()
        async with asyncio.timeout(FINISH):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
