"""Who asks too much is slowed down, by address and by account, and gets out of it by no header."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import httpx
import pytest

from service.common.errors import RateLimited
from service.edge.frame_handler import MAX_FRAMES
from service.http.limits import READING, REFRESH, WRITING, RateLimit, RateLimits
from tests.protocol.contract import Contract
from tests.protocol.test_frames import frame
from tests.protocol.world import API, World
from tests.running import Server
from tests.security.scene import Scene
from tests.security.surface import Surface

SIGN_INS = 30
FEW = 20
AT_ONCE = 100
OWN_RULE = {"/auth/password", "/auth/ticket", "/conversations/{conversation_id}/messages"}
"""Calls that write and that have a rule of their own."""
FREE = {"POST /auth/logout", "DELETE /auth/sessions/{session_id}"}
"""What ends a session is never refused: whoever has stolen one cannot keep its owner from ending it."""
HEADERS = {
    "X-Forwarded-For": "203.0.113.{n}, 203.0.113.8",
    "X-Real-IP": "203.0.113.{n}",
    "Forwarded": "for=203.0.113.{n}",
    "Client-IP": "203.0.113.{n}",
    "True-Client-IP": "203.0.113.{n}",
    "CF-Connecting-IP": "203.0.113.{n}",
}

Spend = Callable[[RateLimit, str], Awaitable[None]]
"""`spend(limit, key)`: as another process of the same deployment, let through all that the rule lets through."""


@pytest.fixture
async def spend(strict_redis: str) -> AsyncIterator[Spend]:
    limits = RateLimits(strict_redis, True)

    async def until_refused(limit: RateLimit, key: str) -> None:
        with suppress(RateLimited):
            while True:
                await limits.check(limit, key)

    yield until_refused
    await limits.close()


@pytest.fixture
async def strict(direct: Server, contract: Contract) -> AsyncIterator[World]:
    async with World(direct, contract) as world:
        yield world


async def refresh(server: Server, header: str = "", value: str = "") -> int:
    """The status of trying to refresh with garbage: 401, or 429 once the address has done it too often."""
    headers = {header: value} if header else {}
    async with httpx.AsyncClient(base_url=server.url + API, timeout=20) as http:
        return (await http.post("/auth/refresh", json={"refresh_token": "garbage"}, headers=headers)).status_code


async def test_no_header_makes_another_client_of_one(direct: Server, spend: Spend) -> None:
    """With no proxy configured an address is the peer's, whatever is written above the request."""
    assert 401 == await refresh(direct)
    await spend(REFRESH, "127.0.0.1")
    assert 429 == await refresh(direct)
    for header, value in HEADERS.items():
        assert {429} == {await refresh(direct, header, value.format(n=n)) for n in range(1, 5)}, header


async def test_behind_a_proxy_what_it_writes_counts(proxied: Server, spend: Spend) -> None:
    """The right-most entry is the address; what a client puts in front of it makes no other client of it."""
    assert 401 == await refresh(proxied, "X-Forwarded-For", "192.0.2.1")
    await spend(REFRESH, "192.0.2.1")
    for n in range(1, FEW):
        assert 429 == await refresh(proxied, "X-Forwarded-For", f"198.51.100.{n}, 192.0.2.1")
    assert 401 == await refresh(proxied, "X-Forwarded-For", "192.0.2.1, 192.0.2.2"), "nor can one shut another out"


async def test_who_writes_too_much(strict: World, surface: Surface, spend: Spend) -> None:
    """Once an account has written its fill, every call that writes is refused before it looks; reads go on."""
    scene = await Scene.of(strict)
    before = await scene.everything(surface)
    await spend(WRITING, scene.anna.id)
    tried = 0
    for call in [call for call in surface.requests if not call.reads and call.signed_in]:
        if str(call) not in FREE and call.path not in OWN_RULE:
            answer = await scene.make(scene.anna, call)
            assert 429 == answer.status_code, f"{call} has no limit: {answer.status_code}"
            assert int(answer.headers["Retry-After"]) > 0
            tried += 1
    assert tried > 10
    assert before == await scene.everything(surface)
    await scene.ben.put(f"/conversations/{scene.values['conversation_id']}/read", {"seq": 2})
    await scene.anna.post("/auth/logout")


async def test_who_reads_too_much(strict: World, surface: Surface, spend: Spend) -> None:
    """The same for what is only read; writes go on."""
    anna = await strict.person()
    await spend(READING, anna.id)
    ids = {field.name: anna.id for call in surface.requests for field in call.in_path}
    for call in [call for call in surface.requests if call.reads]:
        assert 429 == (await anna.call("GET", call.url(ids))).status_code, f"{call} has no limit"
    await anna.post("/posts", {"content": "still here"})


async def test_frames_without_end(strict: World) -> None:
    """A socket that only makes us read is closed for it, whether what it says is a frame or not; others are not."""
    anna, ben = await strict.people(2)
    other = await ben.chat()
    for said, answer in (('{"type": "ping"}', "pong"), ("no frame", "error")):
        socket = await anna.chat()
        for _ in range(MAX_FRAMES // AT_ONCE):
            await asyncio.gather(*(socket.raw(said) for _ in range(AT_ONCE)))
            await socket.events(answer, AT_ONCE)
        await socket.raw(said)
        assert (1008, "rate_limited") == await socket.closed()
    await other.fence()


@pytest.mark.parametrize(
    "frames",
    [
        [frame(0x89, b"x")],
        [frame(0x8A, b"x")],
        [frame(0x01, b"{}"), *[frame(0x00)] * 200, frame(0x80)],
    ],
    ids=["pings", "pongs", "pieces"],
)
async def test_frames_without_end_that_ask_for_nothing(strict: World, frames: list[bytes]) -> None:
    """What the protocol answers by itself, or puts together, costs us the reading, too: it is counted with the rest."""
    anna, ben = await strict.people(2)
    other, socket = await ben.chat(), await anna.chat()
    socket.websocket.transport.write(b"".join(frames) * (MAX_FRAMES // len(frames) + 1))
    assert (1008, "rate_limited") == await socket.closed()
    await other.fence()


async def test_guessing_tells_nothing_of_who_exists(strict: World) -> None:
    """Of a name that nobody has, guessing goes as of one that somebody has: the same answers, as many of them."""
    anna = await strict.person()
    said = []
    for name in (anna.username, f"not_{anna.username[:20]}"):
        body = {"username": name, "password": "wrong password"}
        answers = [await strict.call("POST", "/auth/login", json=body) for _ in range(SIGN_INS + 2)]
        varying = {"x-request-id", "date", "retry-after"}
        headers = [{k: v for k, v in answer.headers.items() if k not in varying} for answer in answers]
        said.append([(answer.status_code, answer.content, kept) for answer, kept in zip(answers, headers, strict=True)])
    assert said[0] == said[1]
    assert [401] * SIGN_INS + [429] * 2 == [status for status, _, _ in said[0]]
