"""The proxy simulates the requested failure, and otherwise forwards everything."""

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
    """A proxy in front of an echo server."""
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


async def test_data_and_the_end_are_forwarded_with_the_delay(proxy: Proxy, connect: Connect) -> None:
    assert f"http://127.0.0.1:{proxy.port}/path" == proxy.url
    reader, writer = await connect()
    assert b"hello\n" == await answer((reader, writer))
    proxy.delay = 0.1
    began = time.monotonic()
    assert b"hello\n" == await answer((reader, writer))
    assert time.monotonic() - began >= 0.2
    writer.write_eof()
    assert b"" == await asyncio.wait_for(reader.read(), 5)


async def test_reset_resets_the_present_connections_only(proxy: Proxy, connect: Connect) -> None:
    reader, writer = await connect()
    assert b"hello\n" == await answer((reader, writer))
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    assert b"hello\n" == await answer(await connect())


async def test_cut_refuses_connections_until_restore(proxy: Proxy, connect: Connect) -> None:
    """The address stays the same."""
    streams = await connect()
    assert b"hello\n" == await answer(streams)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(streams[0].read(), 5)
    with pytest.raises(ConnectionRefusedError):
        await connect()
    await proxy.restore()
    assert b"hello\n" == await answer(await connect())


async def test_blackhole_closes_nothing_and_forwards_nothing(proxy: Proxy, connect: Connect) -> None:
    """After `restore` new connections work; the earlier ones stay silent."""
    before = await connect()
    assert b"hello\n" == await answer(before)
    proxy.blackhole()
    during = await connect()
    for streams in (before, during):
        with pytest.raises(TimeoutError):
            await answer(streams, 0.2)
    await proxy.restore()
    assert b"hello\n" == await answer(await connect())
    for streams in (before, during):
        with pytest.raises(TimeoutError):
            await answer(streams, 0.2)


async def test_a_dropped_reply_resets_its_connection_after_the_request(proxy: Proxy, connect: Connect) -> None:
    proxy.drop_reply_to = b"hell"
    with pytest.raises(ConnectionResetError):
        await answer(await connect())
    assert 1 == proxy.dropped_replies
    proxy.drop_reply_to = b"heaven"
    assert b"hello\n" == await answer(await connect())
    assert 1 == proxy.dropped_replies


async def test_a_server_that_is_away_resets_each_connection() -> None:
    async with Proxy("http://127.0.0.1:1") as nowhere:
        reader, writer = await asyncio.open_connection("127.0.0.1", nowhere.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_it_forwards_to_a_unix_socket(tmp_path: Path) -> None:
    """The embedded Redis has one."""
    server = await asyncio.start_unix_server(echo, tmp_path / "a socket")
    async with server, Proxy(f"unix://{tmp_path}/a%20socket") as proxy:
        assert f"redis://127.0.0.1:{proxy.port}" == proxy.url
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert b"hello\n" == await answer((reader, writer))
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
