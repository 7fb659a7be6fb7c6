"""Traffic during a fault: numbered messages and comments until the block ends, each retried until acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

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
    async with running([write(client) for client in clients], stop):
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
    async with running([write(user) for user in users], stop):
        yield


async def write_comment(api: ApiClient, user: User, post: str, number: int) -> None:
    """Write a comment, retrying until it is acknowledged."""
    deliveries = api.ledger.notifications
    nonce = f"{user.username}-{number}"
    deliveries.sent[nonce] = post
    body = {"content": f"{user.username} comments {number}", "nonce": nonce}
    deliveries.acknowledge(nonce, (await api.call("POST", f"/posts/{post}/comments", user, json=body))["id"])


@asynccontextmanager
async def running(
    coroutines: Iterable[Coroutine[Any, Any, None]], stop: asyncio.Event, timeout: float = FINISH_TIMEOUT
) -> AsyncIterator[None]:
    """Run the coroutines beside the block; they end within `timeout` seconds after `stop` is set. Raises what one of
    them raised."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
        stop.set()
        async with asyncio.timeout(timeout):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
