"""A busy run with faults in it, and all that it wrote: nothing that anyone keeps secret or has said is in there."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.conftest import SECRET, Datastores
from tests.protocol.servers import served
from tests.protocol.stream import Refused
from tests.protocol.wire import HANG_UP, OUT_OF_DISK_SPACE, Wire
from tests.protocol.world import API, CONTENT_MARK, PASSWORD_MARK, Person, World, words
from tests.security.scene import Scene, in_order
from tests.security.surface import Surface


class Run:
    """What clients of one server have sent that nobody else may see, and what came back as errors."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.secrets: set[str] = {SECRET, PASSWORD_MARK, CONTENT_MARK}
        self.errors: list[str] = []
        world.http.event_hooks = {"response": [self._look]}

    async def _look(self, answer: httpx.Response) -> None:
        """Note each credential and each content on its way, and each error; not the rest, which is the caller's own."""
        request = answer.request
        self.secrets |= set(_secrets(request.content.decode(errors="replace")))
        self.secrets |= {value for name, value in request.url.params.items() if name in ("token", "ticket") and value}
        if token := request.headers.get("Authorization", "").removeprefix("Bearer "):
            self.secrets.add(token)
        if "text/event-stream" in answer.headers.get("content-type", ""):
            return
        await answer.aread()
        if answer.status_code >= 400:
            self.errors.append(f"{answer.headers} {answer.text}")
        else:
            self.secrets |= set(_secrets(answer.text))


def _secrets(text: str) -> Iterator[str]:
    """The values, in any JSON, of the fields that are secret or somebody's words."""
    names = "(?:current_|new_)?password|(?:access_|refresh_)?token|ticket|content|preview|display_name"
    for match in re.finditer(rf'"(?:{names})"\s*:\s*"((?:[^"\\]|\\.)+)"', text):
        yield json.loads(f'"{match[1]}"')


async def _live(scene: Scene, person: Person) -> None:
    """Sockets and streams, with every kind of credential, good and bad, in the header and in the URL."""
    world = scene.world
    chat = await person.chat()
    await chat.ask("send_message", conversation_id=scene.values["conversation_id"], content=words())
    await chat.refused("validation_failed", "send_message", content=words(), conversation_id={"$gt": words()})
    await chat.refused("token_invalid", "authenticate", token=PASSWORD_MARK + person.token)
    await chat.ask("authenticate", token=person.token)
    await chat.raw('{"type": "send_message", "content": "' + words())
    await chat.event("error")
    await (await world.socket(query={"ticket": await person.ticket()})).event("hello")
    await (await world.socket(query={"token": person.token})).leave()
    for query in ({"token": PASSWORD_MARK}, {"ticket": PASSWORD_MARK * 2}):
        await (await world.socket(query=query)).closed()
        with pytest.raises(Refused):
            await world.stream(query=query)
    with pytest.raises(InvalidStatus):
        await world.socket(origin="https://evil.example", query={"token": person.token})
    stream = await world.stream(query={"token": person.token})
    await stream.event("hello")
    await stream.leave()
    for path in ("/nothing", "/users/me", "/ws/chat", f"/conversations/{PASSWORD_MARK}"):
        for headers in ({}, {"Referer": f"{world.server.url}/?token={person.token}", "Cookie": person.token}):
            await world.http.get(API + path, params={"token": person.token, "q": words()}, headers=headers)


async def _hang_up(world: World, person: Person) -> None:
    """In the middle of a head, of a body, and of an answer, each with a token in the URL."""
    host, _, port = world.server.url.removeprefix("http://").partition(":")
    url = f"{API}/users/me?token={person.token}"
    for sent in (
        f"GET {url} HTTP/1.1\r\nX: ",
        f"POST {API}/posts?token={person.token} HTTP/1.1\r\nContent-Length: 900\r\n\r\n{words()}",
        f"GET {API}/notifications/stream?token={person.token} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {url} HTTP/9.9\r\n{PASSWORD_MARK}\r\n\r\n",
        f"\x16\x03\x01 {url} {PASSWORD_MARK}\r\n\r\n",
    ):
        for wait in (0.0, 0.02):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent.encode())
            await writer.drain()
            await asyncio.sleep(wait)
            writer.transport.abort()


async def test_nothing_that_was_written_gives_anything_away(
    datastores: Datastores, surface: Surface, tmp_path: Path
) -> None:
    """Every call, right and wrong; sockets, streams, hang-ups; a full disk, a database that hangs up; all at DEBUG."""
    async with (
        Wire(datastores.database("secrets")) as wire,
        served(tmp_path, MONGODB_URI=wire.url, LOG_LEVEL="DEBUG") as server,
        World(server, _Anything()) as world,  # type: ignore[arg-type]
    ):
        run = Run(world)
        scene = await Scene.of(world)
        run.secrets |= {scene.anna.password, scene.ben.password, scene.eve.password}
        await _live(scene, scene.ben)
        await _hang_up(world, scene.ben)
        for call in in_order(surface.requests):
            for who in (scene.eve, scene.anna):
                await scene.make(who, call)
                if call.body:
                    await scene.make(who, call, {**scene.body(call), "surprise": words()})
        wire.code, wire.fails = OUT_OF_DISK_SPACE, "e"
        for call in surface.requests:
            await scene.make(scene.ben, call)
        wire.code = HANG_UP
        await asyncio.gather(*(scene.make(scene.ben, call) for call in surface.requests if not call.reads))
        wire.fails = ""
        metrics = (await world.http.get("/metrics")).text
        assert len(run.secrets) > 30
        assert len(run.errors) > 50
    written = {"log": server.text, "metrics": metrics, "errors": "\n".join(run.errors)}
    assert wire.refused > 10, "a database that fails belongs to a busy run"
    for place, text in written.items():
        found = [secret for secret in run.secrets if len(secret) > 7 and secret in text]
        assert [] == found, place


class _Anything:
    """For a run in which nothing is right: what the answers look like is asked elsewhere."""

    def check_answer(self, answer: object) -> None: ...

    def check_event(self, channel: str, name: str, payload: object) -> None: ...


def test_the_search_would_find_them() -> None:
    """What is looked for is what is in the JSON, and every kind of it."""
    said = {"password": "a" * 8, "content": 'b "quoted" \n', "nested": [{"ticket": "c"}], "user_id": "d"}
    assert {"a" * 8, 'b "quoted" \n', "c"} == set(_secrets(json.dumps(said)))
