"""The scenario of the rate limits: the error of a client over a limit names the time to retry."""

import asyncio
from uuid import uuid4

import pytest

from tests.protocol.clients import Clients, problem, unique_text
from tests.protocol.received_events import Frame
from tests.protocol.stream import Refused


async def rate_limits(clients: Clients) -> None:
    """Sending, connecting, guessing passwords and registering are each limited, without affecting other users."""
    anna, ben, cleo = [await clients.user() for _ in range(3)]
    direct = await anna.start_conversation(ben)

    socket = await anna.chat_socket()
    refused: list[Frame] = []
    sent = 0
    while not refused and sent < 2000:
        bodies = [{"conversation_id": direct, "content": unique_text()} for _ in range(50)]
        answers = await asyncio.gather(*(socket.answer("send_message", **body) for body in bodies))
        refused = [answer for answer in answers if answer["type"] == "error"]
        sent += 50 - len(refused)
    assert {"rate_limited"} == {answer["code"] for answer in refused}
    assert all(answer["retry_after"] > 0 for answer in refused)
    assert sent >= 10, "fast typing is not limited"
    await socket.flush()
    await anna.expect_error(
        429, "rate_limited", "POST", f"/conversations/{direct}/messages", {"content": unique_text()}
    )
    assert sent == (await ben.get(f"/conversations/{direct}"))["last_seq"], "rejected messages are not stored"
    await ben.send_message(direct)

    for _ in range(200):
        another = await clients.socket(headers=cleo.bearer)
        try:
            await another.event("hello")
        except AssertionError:
            assert (1008, "rate_limited") == another.end
            break
    else:
        pytest.fail("one user has opened two hundred sockets")
    with pytest.raises(Refused) as refused:
        await clients.stream(query={"token": cleo.token})
    problem(refused.value.response, 429, "rate_limited")
    await ben.chat_socket()

    statuses = await guess_passwords(clients, anna.username, 100)
    assert 429 == statuses[-1], "a hundred guesses are not limited"
    assert len(statuses) > 3, "a few wrong passwords do not lock the account"
    right = {"username": anna.username, "password": anna.password}
    problem(await clients.call("POST", "/auth/login", json=right), 429, "rate_limited")
    await anna.get("/users/me")

    for _ in range(100):
        body = {"username": f"r{uuid4().hex[:20]}", "password": anna.password}
        answer = await clients.call("POST", "/auth/register", json=body)
        if answer.status_code == 429:
            break
    problem(answer, 429, "rate_limited")


async def guess_passwords(clients: Clients, username: str, times: int) -> list[int]:
    """Sign in with a wrong password until the limit rejects it. Returns the statuses."""
    statuses = []
    for _ in range(times):
        answer = await clients.call("POST", "/auth/login", json={"username": username, "password": "wrong-one"})
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            problem(answer, 429, "rate_limited")
            assert 1 <= int(answer.headers["Retry-After"]) <= 3600
            break
        problem(answer, 401, "bad_credentials")
    return statuses
