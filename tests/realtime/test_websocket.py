"""Loa's WebSocket on real TCP sockets."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from service.realtime.connection import CLOSE_TIMEOUT, IDLE_TIMEOUT
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import (
    MAX_BYTES_PER_ITERATION,
    MAX_FRAGMENTS,
    MAX_FRAMES_PER_ITERATION,
    MAX_MESSAGE_BYTES,
    READ_CHUNK,
    WebSocket,
)
from tests.realtime.wire import web_socket, wired


async def live_socket(registry: Registry) -> tuple[WebSocket, "asyncio.Queue[str]"]:
    """Return a live socket without a transport, and the queue of the texts that it receives."""
    socket = web_socket(registry)
    texts: asyncio.Queue[str] = asyncio.Queue()
    socket.on_text = texts.put_nowait
    with registry.registration(socket):
        socket.go_live([])
    return socket, texts


async def test_texts_arrive_whole_and_in_order(registry: Registry) -> None:
    """Fragments are joined, and pings between them are answered."""
    socket, texts = await live_socket(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"xin ", fin=False)
        peer.send(Opcode.PING, b"there?")
        peer.send(Opcode.CONT, "chào".encode())
        peer.send(Opcode.TEXT, b"two")
        assert [await texts.get(), await texts.get()] == ["xin chào", "two"]
        frame = await peer.frame()
        assert (frame.opcode, bytes(frame.data)) == (Opcode.PONG, b"there?")


@pytest.mark.parametrize("size", [1, 1000])
async def test_between_messages_a_socket_keeps_no_parser(registry: Registry, size: int) -> None:
    """However their bytes arrive. Within a message it keeps one, which reads on where it has stopped."""
    socket, texts = await live_socket(registry)
    frames = Frame(Opcode.TEXT, b"who", fin=False), Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, b"le")
    data = b"".join(frame.serialize(mask=True) for frame in frames)
    async with wired(socket):
        for _ in range(2):
            for end in range(size, len(data) + size, size):
                socket.data_received(data[end - size : end])
                assert (end >= len(data)) is (socket._protocol is None)
            assert "whole" == texts.get_nowait()


@pytest.mark.parametrize(
    ("opcode", "data", "answer"),
    [
        (Opcode.BINARY, b"bytes", (1003, "text_only")),
        (Opcode.TEXT, b"\xff", (1007, "not_utf8")),
        (Opcode.TEXT, b"x" * (MAX_MESSAGE_BYTES + 1), (1009, "too_large")),
        (Opcode.CONT, b"of nothing", (1002, "protocol_error")),
    ],
)
async def test_a_protocol_violation_closes_with_its_code(
    registry: Registry, opcode: Opcode, data: bytes, answer: tuple[int, str]
) -> None:
    """And with a machine-readable reason."""
    socket, texts = await live_socket(registry)
    async with wired(socket) as peer:
        peer.send(opcode, data)
        assert await peer.close_frame() == answer
        assert texts.empty()


async def test_a_message_of_the_maximum_size_is_accepted(registry: Registry) -> None:
    """64 KiB are allowed."""
    socket, texts = await live_socket(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"x" * MAX_MESSAGE_BYTES)
        assert len(await texts.get()) == MAX_MESSAGE_BYTES


async def test_a_message_in_too_many_fragments_is_refused(registry: Registry) -> None:
    """Empty fragments cost next to nothing to send, but take memory."""
    socket, _ = await live_socket(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"", fin=False)
        for _ in range(MAX_FRAGMENTS):
            peer.send(Opcode.CONT, b"", fin=False)
        assert await peer.close_frame() == (1009, "too_large")


async def test_a_peer_that_pings_without_reading_does_not_fill_memory(registry: Registry) -> None:
    """Its pings are no longer read once too many pongs are buffered."""
    socket, _ = await live_socket(registry)
    async with wired(socket, receive_buffer=4096) as peer:
        ping = b"\x89\xfd\0\0\0\0" + b"." * 125
        for _ in range(200):
            peer.writer.write(ping * 500)
            await asyncio.sleep(0)
        assert socket.transport
        # One read of 256 KB causes at most as many bytes of pongs.
        assert socket.transport.get_write_buffer_size() < 1 << 20
        assert peer.writer.transport.get_write_buffer_size() > 1 << 20


async def test_pause_reading_stops_messages_until_resume_reading(registry: Registry) -> None:
    socket, texts = await live_socket(registry)
    async with wired(socket) as peer:
        socket.pause_reading()
        peer.send(Opcode.TEXT, b"later")
        await peer.writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(texts.get(), 0.2)
        socket.resume_reading()
        assert await texts.get() == "later"


@pytest.mark.parametrize("more", [0, 5000])
@pytest.mark.parametrize("at_once", [True, False])
async def test_the_close_frame_of_the_peer_is_read_even_if_reading_was_paused(
    registry: Registry, more: int, at_once: bool
) -> None:
    """The closing handshake completes at once, instead of ending by a timeout, which could lose the close frame."""
    socket, _ = await live_socket(registry)
    received = asyncio.Event()

    def take(text: str) -> None:
        socket.pause_reading()
        if at_once:
            socket.close(1008, "rate_limited")
        received.set()

    socket.on_text = take
    async with wired(socket) as peer:
        peer.writer.write(Frame(Opcode.TEXT, b"x").serialize(mask=True) * (1 + more))
        await received.wait()
        socket.close(1008, "rate_limited")
        assert await peer.close_frame() == (1008, "rate_limited")
        peer.send(Opcode.CLOSE, b"\x03\xf0")
        async with asyncio.timeout(CLOSE_TIMEOUT / 2):
            await peer.eof()


async def test_an_idle_peer_is_pinged_then_disconnected(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here with intervals of seconds instead of 25 and 45."""
    monkeypatch.setattr("service.realtime.websocket.PING_INTERVAL", 1.5)
    # The timer wheel, which counts whole seconds, may be two seconds late for the ping.
    monkeypatch.setattr("service.realtime.websocket.IDLE_TIMEOUT", 4.5)
    socket, _ = await live_socket(registry)
    async with wired(socket) as peer:
        assert (await peer.frame()).opcode is Opcode.PING
        await peer.eof()
        assert await registry.wait_until_empty(5) == 0


async def test_a_close_frame_of_the_client_is_answered_and_ends_the_connection(registry: Registry) -> None:
    """The answer has the client's code."""
    socket, _ = await live_socket(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.CLOSE, b"\x03\xe8bye")
        assert await peer.close_frame() == (1000, "bye")
        await peer.eof()
        assert await registry.wait_until_empty(5) == 0


async def test_a_close_inside_a_fragmented_message_is_a_close(registry: Registry) -> None:
    """RFC 6455, 5.4: control frames may stand between fragments."""
    socket, _ = await live_socket(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"never ", fin=False)
        peer.send(Opcode.CLOSE, b"\x03\xe8bye")
        assert await peer.close_frame() == (1000, "bye")


async def test_a_peer_is_not_idle_while_reading_is_paused(registry: Registry) -> None:
    """Handling its former messages may take long if a datastore is unavailable."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket):
        later = asyncio.get_running_loop().time() + 2 * IDLE_TIMEOUT
        socket.pause_reading()
        socket.heartbeat(later)
        assert not socket.closing
        socket.resume_reading()
        socket.heartbeat(later + IDLE_TIMEOUT)
        assert socket.closing


MIN_FRAME_BYTES = 6
"""The size of a client's empty frame."""


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.TEXT])
async def test_the_frames_read_in_one_iteration_are_bounded(registry: Registry, opcode: Opcode) -> None:
    """A client that sends thousands at once does not block the loop, and all of its frames are read."""
    socket, _ = await live_socket(registry)
    frames: list[int] = [0]

    def count(_: int) -> None:
        frames[-1] += 1

    socket.on_frame = count
    flood = Frame(opcode, b"").serialize(mask=True) * 5000
    async with wired(socket):
        socket.data_received(flood)
        while sum(frames) < 5000:
            frames.append(0)
            await asyncio.sleep(0)
    assert max(frames) <= MAX_FRAMES_PER_ITERATION + READ_CHUNK // MIN_FRAME_BYTES
    assert 0 == socket.buffered


async def test_the_bytes_read_in_one_iteration_are_bounded(registry: Registry) -> None:
    """Four long messages that arrive together are read in several iterations, and each is complete."""
    socket, texts = await live_socket(registry)
    long = Frame(Opcode.TEXT, b"x" * (MAX_BYTES_PER_ITERATION - 1000)).serialize(mask=True)
    async with wired(socket):
        socket.data_received(long * 4)
        assert 4 * len(long) - MAX_BYTES_PER_ITERATION - READ_CHUNK <= socket.buffered
        for _ in range(4):
            assert MAX_BYTES_PER_ITERATION - 1000 == len(await asyncio.wait_for(texts.get(), 5))


async def test_pause_reading_also_holds_back_what_has_arrived(registry: Registry) -> None:
    """At most the rest of the current chunk is handed over; the rest follows after `resume_reading`."""
    socket, texts = await live_socket(registry)

    def take(text: str) -> None:
        texts.put_nowait(text)
        socket.pause_reading()

    socket.on_text = take
    async with wired(socket):
        socket.data_received(Frame(Opcode.TEXT, b"x").serialize(mask=True) * 1000)
        assert texts.qsize() <= READ_CHUNK // MIN_FRAME_BYTES
        for _ in range(1000):
            socket.resume_reading()
            await asyncio.wait_for(texts.get(), 5)


def client_frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    """Return the frame as a client sends it; only the beginning of a long one."""
    return Frame(opcode, data, fin).serialize(mask=True)[:80]


FRAMES = {
    "text": client_frame(Opcode.TEXT, b"fine"),
    "first fragment": client_frame(Opcode.TEXT, b"fi", False),
    "last fragment": client_frame(Opcode.CONT, b"ne"),
    "ping": client_frame(Opcode.PING, b"there?"),
    "not UTF-8": client_frame(Opcode.TEXT, b"\xff"),
    "bytes": client_frame(Opcode.BINARY, b"bytes"),
    "reserved bit": b"\xc1\x80\0\0\0\0",
    "too large": client_frame(Opcode.TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)),
    "close": client_frame(Opcode.CLOSE, b"\x03\xe8"),
    "close with half a code": client_frame(Opcode.CLOSE, b"\x03"),
}


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(FRAMES)), min_size=1, max_size=4))
def test_the_first_violation_determines_the_close_code_however_the_bytes_are_split(names: list[str]) -> None:
    """The messages and the close are the same as if the bytes arrived one by one."""
    data = b"".join(FRAMES[name] for name in names)

    async def outcome(pieces: list[bytes]) -> tuple[list[str], object]:
        registry = Registry(TimerWheel())
        socket, texts = await live_socket(registry)
        closes: list[tuple[int, str]] = []
        close = WebSocket.close

        class Recording(WebSocket):
            __slots__ = ()

            def close(self, code: int, reason: str) -> None:
                if not self.closing:
                    closes.append((code, reason))
                close(self, code, reason)

        socket.__class__ = Recording
        for piece in pieces:
            socket.data_received(piece)
        return [texts.get_nowait() for _ in range(texts.qsize())], closes

    with asyncio.Runner() as runner:
        byte_by_byte = runner.run(outcome([data[offset : offset + 1] for offset in range(len(data))]))
        for split in range(len(data)):
            assert byte_by_byte == runner.run(outcome([piece for piece in (data[:split], data[split:]) if piece]))
