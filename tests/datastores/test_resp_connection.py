"""One connection: replies in order, push messages in between, and every way in which it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from service.datastores import resp_connection
from service.datastores.redis import endpoint
from service.datastores.resp_connection import RespConnection
from tests.conftest import Datastores
from tests.datastores.test_redis import listening

WELCOME = b"%1\r\n$5\r\nproto\r\n:3\r\n"


class Client:
    """A connection, the push messages that it has received, and how often it was reported as lost."""

    def __init__(self) -> None:
        self.pushes: list[list[Any]] = []
        self.lost = 0

    async def connect(self, url: str) -> RespConnection:
        servers = endpoint(url)
        address = servers.seeds[0] if servers.seeds else None
        return await RespConnection.open(servers, address, self._on_push, self._on_lost)

    def _on_push(self, _: RespConnection, push: list[Any]) -> None:
        self.pushes.append(push)

    def _on_lost(self, _: RespConnection) -> None:
        self.lost += 1


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[str]:
    """The URL of a server that sends one of these answers to each read, and then nothing."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
        await done.wait()
        writer.close()

    async with listening(serve) as port:
        yield f"redis://127.0.0.1:{port}"
        done.set()


async def test_pipelined_commands_are_answered_in_their_order(datastores: Datastores) -> None:
    """An error is the answer to its command alone, and push messages come in between."""
    client = Client()
    connection = await client.connect(datastores.redis_url)
    subscribed = connection.send("SUBSCRIBE", "loa:one", "loa:two", channels=[b"loa:one", b"loa:two"])
    echoes = [connection.send("ECHO", str(number)) for number in range(500)]
    wrong = connection.send("ECHO")
    last = connection.send("PUBLISH", "loa:two", b"a\r\nb")
    await subscribed
    assert [str(number).encode() for number in range(500)] == await asyncio.gather(*echoes)
    with pytest.raises(ResponseError, match="wrong number of arguments"):
        await wrong
    assert 1 == await last
    assert [
        [b"subscribe", b"loa:one", 1],
        [b"subscribe", b"loa:two", 2],
        [b"message", b"loa:two", b"a\r\nb"],
    ] == client.pushes
    connection.lose(ConnectionError("done"))
    assert 1 == client.lost


def test_a_connection_works_on_uvloop(datastores: Datastores) -> None:
    """The workers use it, and its transports are of another type."""

    async def ask_and_close() -> list[bytes]:
        client = Client()
        connection = await client.connect(datastores.redis_url)
        replies = await asyncio.gather(*(connection.send("ECHO", str(number)) for number in range(3)))
        connection.lose(ConnectionError("done"))
        with pytest.raises(ConnectionError):
            await connection.send("ECHO", "x")
        assert 1 == client.lost
        return replies

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert [b"0", b"1", b"2"] == runner.run(ask_and_close())


async def test_commands_of_one_iteration_leave_in_one_write() -> None:
    async with scripted(WELCOME, b"+1\r\n+2\r\n+3\r\n") as url:
        connection = await Client().connect(url)
        replies = [connection.send("ECHO", "x") for _ in range(3)]
        # The server answers all of them to the first read.
        assert [b"1", b"2", b"3"] == await asyncio.wait_for(asyncio.gather(*replies), 5)
        connection.lose(ConnectionError("done"))


async def test_a_server_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a command waits for its reply, or nothing was sent: then a PING asks."""
    monkeypatch.setattr(resp_connection, "REPLY_TIMEOUT", 0.2)
    monkeypatch.setattr(resp_connection, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(resp_connection, "CHECK_INTERVAL", 0.02)
    async with scripted(WELCOME) as url:
        for asks in (True, False):
            client = Client()
            connection = await client.connect(url)
            if asks:
                with pytest.raises(TimeoutError):
                    await connection.send("ECHO", "x")
            async with asyncio.timeout(5):
                while not client.lost:
                    await asyncio.sleep(0.01)
            with pytest.raises(TimeoutError):
                await connection.send("ECHO", "x")
            assert (1, True) == (client.lost, connection.lost)


async def test_a_held_up_event_loop_does_not_lose_the_connection(datastores: Datastores) -> None:
    """The reply has arrived in time, and only not been read when the timeouts are looked at."""
    connection = await Client().connect(datastores.redis_url)
    reply = connection.send("ECHO", "x")
    connection._pending[0].deadline -= 3600
    connection._check()
    assert b"x" == await reply
    assert not connection.lost
    connection.lose(ConnectionError("done"))


@pytest.mark.parametrize("answer", [b"?\r\n", b"+unasked\r\n", b"$5\r\nabcdefg"], ids=["type", "unasked", "length"])
async def test_an_invalid_reply_ends_the_connection(answer: bytes) -> None:
    async with scripted(WELCOME + answer + b"\r\n\r\n") as url:
        with pytest.raises(ConnectionError):
            await ask(url)


async def ask(url: str) -> None:
    await (await Client().connect(url)).send("ECHO", "x")


async def test_a_closed_connection_fails_its_commands(datastores: Datastores) -> None:
    client = Client()
    connection = await client.connect(datastores.redis_url)
    number = await connection.send("CLIENT", "ID")
    waiting = connection.send("BLPOP", "loa:never", "0")
    other = await Client().connect(datastores.redis_url)
    assert 1 == await other.send("CLIENT", "KILL", "ID", str(number))
    with pytest.raises(ConnectionError):
        await waiting
    assert 1 == client.lost
    other.lose(ConnectionError("done"))


async def test_a_refused_or_hanging_sign_in_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    async with scripted(b"-WRONGPASS invalid username-password pair\r\n") as url:
        with pytest.raises(AuthenticationError, match="WRONGPASS"):
            await client.connect(url)
    monkeypatch.setattr(resp_connection, "REPLY_TIMEOUT", 0.1)
    async with scripted() as url:
        with pytest.raises((OSError, TimeoutError)):
            await client.connect(url)
    assert 0 == client.lost
