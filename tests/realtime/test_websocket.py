"""The WebSocket protocol on Loa's own connection."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from service.realtime.connection import CLOSE_TIMEOUT, IDLE_TIMEOUT
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import (
    MAX_BYTES_PER_TURN,
    MAX_FRAGMENTS,
    MAX_FRAMES_PER_TURN,
    MAX_MESSAGE_BYTES,
    READ_CHUNK,
    HandshakeRefused,
    WebSocket,
)
from tests.realtime.wire import HANDSHAKE, identity, web_socket, wired

UNPASSABLE = {"7.1.5"}
"""A close in the middle of a fragmented message: the suite wants 1000 back, the RFC's protocol error is 1002; the
server of the `websockets` library, whose protocol this is, answers the same."""


@pytest.fixture
def echo_port() -> Iterator[str]:
    """The echo endpoint, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "tests.realtime.echo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)


def test_it_passes_the_autobahn_cases(echo_port: str, tmp_path: Path) -> None:
    """All but those of performance (9) and of compression (12, 13), which is not offered."""
    excluded = [option for case in ("9.*", "12.*", "13.*") for option in ("-x", case)]
    command = [sys.executable, "-c", "from kosoku._cli import main; main()", "-p", "4", "-o", str(tmp_path), *excluded]
    result = subprocess.run(
        [*command, f"ws://127.0.0.1:{echo_port}"], capture_output=True, text=True, timeout=300, check=False
    )
    failed = {line.split(":")[0].strip() for line in result.stdout.splitlines() if "behavior=" in line}
    assert failed <= UNPASSABLE, result.stdout
    assert "of 247 cases" in result.stdout or "247 cases" in result.stdout, result.stdout


async def opened(registry: Registry) -> tuple[WebSocket, "asyncio.Queue[str]"]:
    socket = web_socket(registry)
    texts: asyncio.Queue[str] = asyncio.Queue()
    socket.on_text = texts.put_nowait
    with registry.registration(socket):
        socket.go_live([])
    return socket, texts


async def test_texts_arrive_whole_and_in_order(registry: Registry) -> None:
    """Fragments are put together, pings between them are answered."""
    socket, texts = await opened(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"xin ", fin=False)
        peer.send(Opcode.PING, b"there?")
        peer.send(Opcode.CONT, "chào".encode())
        peer.send(Opcode.TEXT, b"two")
        assert [await texts.get(), await texts.get()] == ["xin chào", "two"]
        frame = await peer.frame()
        assert (frame.opcode, bytes(frame.data)) == (Opcode.PONG, b"there?")


@pytest.mark.parametrize(
    ("opcode", "data", "answer"),
    [
        (Opcode.BINARY, b"bytes", (1003, "text_only")),
        (Opcode.TEXT, b"\xff", (1007, "not_utf8")),
        (Opcode.TEXT, b"x" * (MAX_MESSAGE_BYTES + 1), (1009, "too_large")),
        (Opcode.CONT, b"of nothing", (1002, "protocol_error")),
    ],
)
async def test_what_breaks_the_rules_is_closed_with_its_code(
    registry: Registry, opcode: Opcode, data: bytes, answer: tuple[int, str]
) -> None:
    """And with a reason that a program can read."""
    socket, texts = await opened(registry)
    async with wired(socket) as peer:
        peer.send(opcode, data)
        assert await peer.close_frame() == answer
        assert texts.empty()


async def test_a_message_of_the_greatest_size_passes(registry: Registry) -> None:
    """64 KiB are allowed, whole or in pieces."""
    socket, texts = await opened(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"x" * MAX_MESSAGE_BYTES)
        assert len(await texts.get()) == MAX_MESSAGE_BYTES


async def test_a_message_in_too_many_pieces_is_refused(registry: Registry) -> None:
    """Empty fragments weigh nothing on the wire and something in memory."""
    socket, _ = await opened(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, b"", fin=False)
        for _ in range(MAX_FRAGMENTS):
            peer.send(Opcode.CONT, b"", fin=False)
        assert await peer.close_frame() == (1009, "too_large")


async def test_a_peer_that_pings_and_does_not_read_does_not_fill_memory(registry: Registry) -> None:
    """Its pings are no longer read once the pongs pile up."""
    socket, _ = await opened(registry)
    async with wired(socket, receive_buffer=4096) as peer:
        ping = b"\x89\xfd\0\0\0\0" + b"." * 125
        for _ in range(200):
            peer.writer.write(ping * 500)
            await asyncio.sleep(0)
        assert socket.transport
        # A read of 256 KB turns into as many pongs at most.
        assert socket.transport.get_write_buffer_size() < 1 << 20
        assert peer.writer.transport.get_write_buffer_size() > 1 << 20


async def test_a_socket_that_is_not_to_be_read_is_not_read(registry: Registry) -> None:
    """`pause` holds the peer back, `resume` lets it go on."""
    socket, texts = await opened(registry)
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
async def test_the_answer_to_the_close_is_read_though_nothing_else_was_to_be(
    registry: Registry, more: int, at_once: bool
) -> None:
    """Closed with more to do than it could: no reason to wait until it is cut off, and with it what it was told."""
    socket, _ = await opened(registry)
    told = asyncio.Event()

    def take(text: str) -> None:
        socket.pause_reading()
        if at_once:
            socket.close(1008, "rate_limited")
        told.set()

    socket.on_text = take
    async with wired(socket) as peer:
        peer.writer.write(Frame(Opcode.TEXT, b"x").serialize(mask=True) * (1 + more))
        await told.wait()
        socket.close(1008, "rate_limited")
        assert await peer.close_frame() == (1008, "rate_limited")
        peer.send(Opcode.CLOSE, b"\x03\xf0")
        async with asyncio.timeout(CLOSE_TIMEOUT / 2):
            await peer.eof()


async def test_a_silent_peer_is_pinged_and_then_dropped(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds here, for what takes 25 and 45."""
    monkeypatch.setattr("service.realtime.websocket.PING_INTERVAL", 1.5)
    # The ticker may be two seconds late for the ping: it counts whole ones.
    monkeypatch.setattr("service.realtime.websocket.IDLE_TIMEOUT", 4.5)
    socket, _ = await opened(registry)
    async with wired(socket) as peer:
        assert (await peer.frame()).opcode is Opcode.PING
        await peer.eof()
        assert await registry.wait_until_empty(5) == 0


async def test_a_close_of_the_client_is_answered_and_ends_the_connection(registry: Registry) -> None:
    """With its own code."""
    socket, _ = await opened(registry)
    async with wired(socket) as peer:
        peer.send(Opcode.CLOSE, b"\x03\xe8bye")
        assert await peer.close_frame() == (1000, "bye")
        await peer.eof()
        assert await registry.wait_until_empty(5) == 0


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Upgrade", None, 426),
        ("Connection", None, 426),
        ("Sec-WebSocket-Key", None, 400),
        ("Sec-WebSocket-Key", "short", 400),
        ("Sec-WebSocket-Version", "8", 400),
    ],
)
async def test_what_is_no_handshake_is_refused(name: str, value: str | None, status: int) -> None:
    """With the status of RFC 6455."""
    headers = [(key, known) for key, known in HANDSHAKE if key != name]
    if value is not None:
        headers.append((name, value))
    with pytest.raises(HandshakeRefused) as refused:
        WebSocket(Registry(TimerWheel()), identity(), "chat", headers)
    assert refused.value.status == status


async def test_a_peer_that_is_not_listened_to_is_not_silent(registry: Registry) -> None:
    """While what it said before is being handled, which takes long where a datastore is away."""
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


SMALLEST = 6
"""Bytes of an empty frame of a client's."""


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.TEXT])
async def test_of_tiny_frames_few_are_read_in_a_turn_of_the_loop(registry: Registry, opcode: Opcode) -> None:
    """Whoever sends thousands at once waits for their turn as others do, and all of them are read."""
    socket, _ = await opened(registry)
    frames: list[int] = [0]

    def count() -> None:
        frames[-1] += 1

    socket.on_frame = count
    flood = Frame(opcode, b"").serialize(mask=True) * 5000
    async with wired(socket):
        socket.data_received(flood)
        while sum(frames) < 5000:
            frames.append(0)
            await asyncio.sleep(0)
    assert max(frames) <= MAX_FRAMES_PER_TURN + READ_CHUNK // SMALLEST
    assert 0 == socket.buffered


async def test_of_long_messages_so_many_bytes_are_read_in_a_turn(registry: Registry) -> None:
    """Four that came together are read in as many turns, whole."""
    socket, texts = await opened(registry)
    long = Frame(Opcode.TEXT, b"x" * (MAX_BYTES_PER_TURN - 1000)).serialize(mask=True)
    async with wired(socket):
        socket.data_received(long * 4)
        assert 4 * len(long) - MAX_BYTES_PER_TURN - READ_CHUNK <= socket.buffered
        for _ in range(4):
            assert MAX_BYTES_PER_TURN - 1000 == len(await asyncio.wait_for(texts.get(), 5))


async def test_who_has_enough_to_do_is_handed_no_more_than_a_piece(registry: Registry) -> None:
    """What had come before the pause waits, too, and follows after it."""
    socket, texts = await opened(registry)

    def take(text: str) -> None:
        texts.put_nowait(text)
        socket.pause_reading()

    socket.on_text = take
    async with wired(socket):
        socket.data_received(Frame(Opcode.TEXT, b"x").serialize(mask=True) * 1000)
        assert texts.qsize() <= READ_CHUNK // SMALLEST
        for _ in range(1000):
            socket.resume_reading()
            await asyncio.wait_for(texts.get(), 5)


def wire(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    """As a client sends it, of a long one the beginning."""
    return Frame(opcode, data, fin).serialize(mask=True)[:80]


RULES = {
    "text": wire(Opcode.TEXT, b"fine"),
    "piece": wire(Opcode.TEXT, b"fi", False),
    "rest": wire(Opcode.CONT, b"ne"),
    "ping": wire(Opcode.PING, b"there?"),
    "not UTF-8": wire(Opcode.TEXT, b"\xff"),
    "bytes": wire(Opcode.BINARY, b"bytes"),
    "reserved bit": b"\xc1\x80\0\0\0\0",
    "too large": wire(Opcode.TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)),
    "goodbye": wire(Opcode.CLOSE, b"\x03\xe8"),
    "no code": wire(Opcode.CLOSE, b"\x03"),
}


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(RULES)), min_size=1, max_size=4))
def test_the_first_rule_that_is_broken_decides_wherever_the_bytes_are_cut(names: list[str]) -> None:
    """In the order of the bytes: the same messages, and the same close, as a client that sends them one by one gets."""
    data = b"".join(RULES[name] for name in names)

    async def outcome(pieces: list[bytes]) -> tuple[list[str], object]:
        registry = Registry(TimerWheel())
        socket, texts = await opened(registry)
        ends: list[tuple[int, str]] = []
        close = WebSocket.close

        class Noting(WebSocket):
            __slots__ = ()

            def close(self, code: int, reason: str) -> None:
                if not self.closing:
                    ends.append((code, reason))
                close(self, code, reason)

        socket.__class__ = Noting
        for piece in pieces:
            socket.data_received(piece)
        return [texts.get_nowait() for _ in range(texts.qsize())], ends

    with asyncio.Runner() as runner:
        one_by_one = runner.run(outcome([data[place : place + 1] for place in range(len(data))]))
        for cut in range(len(data)):
            assert one_by_one == runner.run(outcome([piece for piece in (data[:cut], data[cut:]) if piece]))
