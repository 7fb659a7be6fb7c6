"""Tokens that expire while a connection is open, and their replacement."""

import asyncio
import time
from typing import Any

import jwt

from tests.conftest import SECRET
from tests.protocol.clients import Clients, User, is_time


def ending(person: User, seconds: float) -> str:
    """The person's token as it would be so many seconds before its end."""
    claims: dict[str, Any] = jwt.decode(person.token, options={"verify_signature": False})
    return jwt.encode(claims | {"exp": int(time.time() + seconds)}, SECRET, "HS256")


async def test_a_fresh_token_keeps_a_socket_open_past_the_first_expiry(clients: Clients) -> None:
    """The ack has the new expiry."""
    anna = await clients.user()
    fresh, anna.token = anna.token, ending(anna, 3)
    began = time.time()
    sockets = [await anna.chat_socket(), await anna.notification_socket()]
    for socket in sockets:
        await socket.event("token_expiring")
        await socket.request("authenticate", token=ending(anna, 6))
        await socket.event("token_expiring")
        answer = await socket.request("authenticate", token=fresh)
        assert is_time(answer["data"]["token_expires_at"])
    await asyncio.sleep(began + 4.5 - time.time())  # past the first one's end, which nothing announces any more
    for socket in sockets:
        await socket.flush()
        assert None is socket.end
        assert [] == socket.remaining("token_expiring"), "it is no longer about to expire"


async def test_a_rejected_token_does_not_change_the_expiry(clients: Clients) -> None:
    """Invalid tokens, refresh tokens and tokens of other users are rejected."""
    anna, ben = await clients.users(2)
    other = await anna.sign_in_again()
    await other.post("/auth/logout")
    good, anna.token = anna.token, ending(anna, 4)
    sockets = [await anna.chat_socket(), await anna.notification_socket()]
    for socket in sockets:
        await socket.expect_error("token_invalid", "authenticate", token="garbage")
        await socket.expect_error("token_invalid", "authenticate", token=anna.refresh_token)
        await socket.expect_error("token_invalid", "authenticate", token=ben.token)
        await socket.expect_error("token_expired", "authenticate", token=ending(anna, -5))
        await socket.expect_error("token_revoked", "authenticate", token=other.token)
    for socket in sockets:
        assert (1008, "token_expired") == await socket.closed()
    anna.token = good
    await anna.get("/users/me")


async def test_token_expiring_is_sent_a_minute_before_the_expiry(clients: Clients) -> None:
    anna = await clients.user()
    anna.token = ending(anna, 62.5)
    began = time.monotonic()
    sockets = [await anna.chat_socket(), await anna.notification_socket(), await anna.stream()]
    for socket in sockets:
        await socket.event("token_expiring")
        assert 0.5 < time.monotonic() - began < 6


async def test_a_socket_belongs_to_the_session_of_its_latest_token(clients: Clients) -> None:
    """Only the end of that session closes it."""
    anna = await clients.user()
    other = await anna.sign_in_again()
    socket = await anna.chat_socket()
    await socket.request("authenticate", token=other.token)
    await anna.post("/auth/logout")
    await socket.flush()
    await other.post("/auth/logout")
    assert (1008, "token_revoked") == await socket.closed()
