"""Traffic during a fault: numbered messages and comments until the block ends, each retried until acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.faults.api_client import ApiClient
from tests.faults.chat_client import ChatClient
from tests.faults.users import User

FINISH_TIMEOUT = 60.0
"""Seconds within which pending messages must be acknowledged once the fault is over."""


@asynccontextmanager
async def message_traffic(
    clients: Sequence[ChatClient], conversation: str, pause: float = 0.02, text: str = ""
) -> AsyncIterator[None]:
    """Let each client send one message after the other, `pause` seconds after the ack of the previous one. `text` is
    appended to make messages longer."""

    async def write(client: ChatClient) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await client.send(conversation, f"{client.user.username} writes {number}{text}")
            await asyncio.sleep(pause)

    stop = asyncio.Event()
    async with _running([write(client) for client in clients], stop):
        yield


@asynccontextmanager
async def comment_traffic(api: ApiClient, users: Sequence[User], post: str, pause: float = 0.02) -> AsyncIterator[None]:
    """Let each user write one comment after the other; each comment notifies the post's author."""

    async def write(user: User) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await write_comment(api, user, post, number)
            await asyncio.sleep(pause)

    stop = asyncio.Event()
    async with _running([write(user) for user in users], stop):
        yield


async def write_comment(api: ApiClient, user: User, post: str, number: int) -> None:
    """Write a comment, retrying until it is acknowledged."""
    deliveries = api.ledger.notifications
    nonce = f"{user.username}-{number}"
    deliveries.sent[nonce] = post
    body = {"content": f"{user.username} comments {number}", "nonce": nonce}
    deliveries.acknowledge(nonce, (await api.call("POST", f"/posts/{post}/comments", user, json=body))["id"])


@asynccontextmanager
async def _running(writing: "list[object]", stop: asyncio.Event) -> AsyncIterator[None]:
    """Run the coroutines beside the block, then let each finish its current message. Raises what one of them raised."""
    tasks = [asyncio.ensure_future(each) for each in writing]  # type: ignore[call-overload]
    try:
        yield
        stop.set()
        async with asyncio.timeout(FINISH_TIMEOUT):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
