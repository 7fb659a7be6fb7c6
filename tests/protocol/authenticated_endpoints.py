"""Every kind of endpoint that requires a token: HTTP, the two sockets and the stream.

Each function tries a credential, and returns the error code, or "" if it is accepted.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.protocol.clients import Clients, problem
from tests.protocol.stream import Refused


async def http(clients: Clients, credential: dict[str, str]) -> str:
    """Send an ordinary request, with the token in the header: other requests than upgrades take it nowhere else."""
    token = credential.get("token")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = await clients.call("GET", "/users/me", headers=headers)
    return "" if answer.status_code == 200 else str(problem(answer, 401, answer.json()["code"])["code"])


async def chat(clients: Clients, credential: dict[str, str]) -> str:
    return await _socket(clients, "/ws/chat", "chat", credential)


async def notification_socket(clients: Clients, credential: dict[str, str]) -> str:
    return await _socket(clients, "/ws/notifications", "notification_socket", credential)


async def stream(clients: Clients, credential: dict[str, str]) -> str:
    try:
        opened = await clients.stream(query=credential)
    except Refused as refused:
        return str(problem(refused.response, 401, refused.response.json()["code"])["code"])
    await opened.event("hello")
    return ""


async def _socket(clients: Clients, path: str, channel: str, credential: dict[str, str]) -> str:
    """A rejected socket is accepted and then closed with 1008 and the reason, because browsers can read only that."""
    socket = await clients.socket(path, channel, query=credential)
    try:
        await socket.event("hello")
        return ""
    except AssertionError:
        if not socket.end:
            raise
    code, reason = socket.end
    assert (1008, []) == (code, socket.received)
    return reason


Endpoint = Callable[[Clients, dict[str, str]], Awaitable[str]]
"""Tries a credential, given as query parameters: returns the error code, or "" if it is accepted."""

ENDPOINTS: list[Any] = [http, chat, notification_socket, stream]
CONNECTION_ENDPOINTS: list[Any] = [chat, notification_socket, stream]
