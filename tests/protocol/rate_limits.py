"""With RATE_LIMITS=on who asks too much is told when to come back."""

import asyncio
from uuid import uuid4

import pytest

from tests.protocol.inbox import Frame
from tests.protocol.stream import Refused
from tests.protocol.world import World, problem, words


async def limits(world: World) -> None:
    """Sending, connecting, guessing and registering without end each come to theirs, and harm nobody else."""
    anna, ben, cleo = [await world.person() for _ in range(3)]
    direct = await anna.talk(ben)

    socket = await anna.chat()
    refused: list[Frame] = []
    sent = 0
    while not refused and sent < 2000:
        bodies = [{"conversation_id": direct, "content": words()} for _ in range(50)]
        answers = await asyncio.gather(*(socket.answer("send_message", **body) for body in bodies))
        refused = [answer for answer in answers if answer["type"] == "error"]
        sent += 50 - len(refused)
    assert {"rate_limited"} == {answer["code"] for answer in refused}
    assert all(answer["retry_after"] > 0 for answer in refused)
    assert sent >= 10, "one may type fast"
    await socket.fence()
    await anna.refused(429, "rate_limited", "POST", f"/conversations/{direct}/messages", {"content": words()})
    assert sent == (await ben.get(f"/conversations/{direct}"))["last_seq"], "what was refused is not stored"
    await ben.say(direct)

    for _ in range(200):
        another = await world.socket(headers=cleo.bearer)
        try:
            await another.event("hello")
        except AssertionError:
            assert (1008, "rate_limited") == another.end
            break
    else:
        pytest.fail("two hundred sockets of one person")
    with pytest.raises(Refused) as refused:
        await world.stream(query={"token": cleo.token})
    problem(refused.value.response, 429, "rate_limited")
    await ben.chat()

    statuses = await guess(world, anna.username, 100)
    assert 429 == statuses[-1], "a hundred guesses"
    assert len(statuses) > 3, "a slip of the finger locks nobody out"
    right = {"username": anna.username, "password": anna.password}
    problem(await world.call("POST", "/auth/login", json=right), 429, "rate_limited")
    await anna.get("/users/me")

    for _ in range(100):
        body = {"username": f"r{uuid4().hex[:20]}", "password": anna.password}
        answer = await world.call("POST", "/auth/register", json=body)
        if answer.status_code == 429:
            break
    problem(answer, 429, "rate_limited")


async def guess(world: World, username: str, times: int) -> list[int]:
    """Sign in with a wrong password until it is refused for its own sake: the statuses."""
    statuses = []
    for _ in range(times):
        answer = await world.call("POST", "/auth/login", json={"username": username, "password": "wrong-one"})
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            problem(answer, 429, "rate_limited")
            assert 1 <= int(answer.headers["Retry-After"]) <= 3600
            break
        problem(answer, 401, "bad_credentials")
    return statuses
