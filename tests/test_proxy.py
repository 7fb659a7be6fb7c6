"""The proxy breaks what it is told to break, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.proxy import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """On the way to a server that says everything back."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/path") as proxy:
        yield proxy


@pytest.fixture
async def connect(proxy: Proxy) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def connect() -> Streams:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            stack.callback(writer.close)
            return reader, writer

        yield connect


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def answer(streams: Streams, within: float = 5.0) -> bytes:
    reader, writer = streams
    writer.write(b"hello\n")
    async with asyncio.timeout(within):
        return await reader.readline()


async def test_everything_passes_and_may_take_its_time(proxy: Proxy, connect: Connect) -> None:
    """Both ways, and so does the end."""
    assert f"http://127.0.0.1:{proxy.port}/path" == proxy.url
    reader, writer = await connect()
    assert b"hello\n" == await answer((reader, writer))
    proxy.delay = 0.1
    began = time.monotonic()
    assert b"hello\n" == await answer((reader, writer))
    assert time.monotonic() - began >= 0.2
    writer.write_eof()
    assert b"" == await asyncio.wait_for(reader.read(), 5)


async def test_a_reset_is_told(proxy: Proxy, connect: Connect) -> None:
    """To those who are connected; others come through."""
    reader, writer = await connect()
    assert b"hello\n" == await answer((reader, writer))
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    assert b"hello\n" == await answer(await connect())


async def test_a_server_that_goes_and_comes_back(proxy: Proxy, connect: Connect) -> None:
    """Refused meanwhile; afterwards it has the same address."""
    streams = await connect()
    assert b"hello\n" == await answer(streams)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(streams[0].read(), 5)
    with pytest.raises(ConnectionRefusedError):
        await connect()
    await proxy.mend()
    assert b"hello\n" == await answer(await connect())


async def test_silence_is_told_to_nobody(proxy: Proxy, connect: Connect) -> None:
    """Neither to who is connected nor to who connects; afterwards new connections work, and those stay as they are."""
    before = await connect()
    assert b"hello\n" == await answer(before)
    proxy.silence()
    during = await connect()
    for streams in (before, during):
        with pytest.raises(TimeoutError):
            await answer(streams, 0.2)
    await proxy.mend()
    assert b"hello\n" == await answer(await connect())
    for streams in (before, during):
        with pytest.raises(TimeoutError):
            await answer(streams, 0.2)


async def test_an_answer_that_is_lost(proxy: Proxy, connect: Connect) -> None:
    """What was asked has come through; who asked is told by a reset, and may ask something else."""
    proxy.loses = b"hell"
    with pytest.raises(ConnectionResetError):
        await answer(await connect())
    assert 1 == proxy.lost
    proxy.loses = b"heaven"
    assert b"hello\n" == await answer(await connect())
    assert 1 == proxy.lost


async def test_to_a_server_that_is_not_there() -> None:
    """Whoever comes is told."""
    async with Proxy("http://127.0.0.1:1") as nowhere:
        reader, writer = await asyncio.open_connection("127.0.0.1", nowhere.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_to_a_unix_socket(tmp_path: Path) -> None:
    """As the embedded Redis has one."""
    server = await asyncio.start_unix_server(echo, tmp_path / "a socket")
    async with server, Proxy(f"unix://{tmp_path}/a%20socket") as proxy:
        assert f"redis://127.0.0.1:{proxy.port}" == proxy.url
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert b"hello\n" == await answer((reader, writer))
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
