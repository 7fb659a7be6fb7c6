"""Every way in that asks for a token: HTTP, the two sockets and the stream."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.protocol.stream import Refused
from tests.protocol.world import World, problem


async def http(world: World, credential: dict[str, str]) -> str:
    """An ordinary request. `credential` goes into the header, for it is nowhere else looked for."""
    token = credential.get("token")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = await world.call("GET", "/users/me", headers=headers)
    return "" if answer.status_code == 200 else str(problem(answer, 401, answer.json()["code"])["code"])


async def chat(world: World, credential: dict[str, str]) -> str:
    return await _socket(world, "/ws/chat", "chat", credential)


async def notification_socket(world: World, credential: dict[str, str]) -> str:
    return await _socket(world, "/ws/notifications", "notification_socket", credential)


async def stream(world: World, credential: dict[str, str]) -> str:
    try:
        opened = await world.stream(query=credential)
    except Refused as refused:
        return str(problem(refused.response, 401, refused.response.json()["code"])["code"])
    await opened.event("hello")
    return ""


async def _socket(world: World, path: str, channel: str, credential: dict[str, str]) -> str:
    """Accepted, then closed with 1008 and the reason, so that a browser can read it; or open."""
    socket = await world.socket(path, channel, query=credential)
    try:
        await socket.event("hello")
        return ""
    except AssertionError:
        if not socket.end:
            raise
    code, reason = socket.end
    assert (1008, []) == (code, socket.seen)
    return reason


Door = Callable[[World, dict[str, str]], Awaitable[str]]
"""Tries a credential, as query parameters: the code of the refusal, or "" where it opens."""

DOORS: list[Any] = [http, chat, notification_socket, stream]
LIVE_DOORS: list[Any] = [chat, notification_socket, stream]
