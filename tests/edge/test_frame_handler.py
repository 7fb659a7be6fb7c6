"""The frames that a socket sends, and those that wait for its handler, are bounded in number and bytes."""

import asyncio
import gc
import weakref
from contextlib import AsyncExitStack
from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from service.edge.frame_handler import MAX_BYTES_PER_PERIOD, MAX_PENDING_BYTES, MAX_PENDING_FRAMES, FrameHandler
from service.edge.frames import ClientFrame, Ping
from service.http.limits import RateLimits
from service.realtime import permessage_deflate
from service.realtime.handshake import accept
from service.realtime.inbound_budget import USER_BYTES
from service.realtime.registry import Registry
from service.realtime.websocket import MAX_MESSAGE_BYTES, READ_CHUNK, CompressedWebSocket, WebSocket
from tests.realtime.conftest import registry
from tests.realtime.wire import HANDSHAKE, identity, web_socket, wired

__all__ = ["registry"]

FRAMES_SENT = 200
CHUNK_FRAMES = READ_CHUNK // 6
"""Frames that may be in the part of the input that is parsed at a time."""


class Text(ClientFrame):
    type: Literal["text"]
    text: str


Frame = Text | Ping
FRAMES: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


class BlockedHandler(FrameHandler[Frame]):
    """Handles no frame until `released` is set."""

    released: asyncio.Event
    handled: int = 0

    async def handle(self, frame: Frame) -> None:
        await self.released.wait()
        self.handled += 1

    @property
    def waiting(self) -> list[int]:
        """The sizes of the frames that wait."""
        return [len(data) for data in self._pending]


def blocked_handler(registry: Registry, user_id: str = "ada") -> BlockedHandler:
    return handler_of(registry, web_socket(registry, user_id), RateLimits(None, enabled=False))


def handler_of(registry: Registry, socket: WebSocket, limits: RateLimits) -> BlockedHandler:
    handler = BlockedHandler(socket, FRAMES, None, limits)  # type: ignore[arg-type]
    handler.released = asyncio.Event()
    with registry.registration(socket):
        socket.go_live([])
    return handler


async def wait_until_paused(*handlers: BlockedHandler) -> None:
    """Wait until each socket has stopped reading."""
    async with asyncio.timeout(10):
        while not all(handler.socket._reading_paused for handler in handlers):
            await asyncio.sleep(0.01)


def text_frame(size: int) -> bytes:
    return b'{"type":"text","text":"%b"}' % ("\N{GRINNING FACE}" * (size // 4)).encode()


@pytest.mark.parametrize("size", [8, 1000, 60_000])
async def test_pending_frames_of_one_socket_are_bounded(registry: Registry, size: int) -> None:
    """Reading pauses until half of them are handled. In the end all are handled, and none is counted."""
    handler = blocked_handler(registry)
    data = text_frame(size)
    async with wired(handler.socket) as peer:
        for _ in range(FRAMES_SENT):
            peer.send(Opcode.TEXT, data)
        await wait_until_paused(handler)
        assert len(handler.waiting) <= MAX_PENDING_FRAMES + CHUNK_FRAMES
        assert sum(handler.waiting) <= MAX_PENDING_BYTES + len(data) + READ_CHUNK
        # The frame that is being handled counts, too.
        assert registry.inbound.total == sum(handler.waiting) + len(data)
        handler.released.set()
        async with asyncio.timeout(10):
            while handler.handled < FRAMES_SENT:
                await asyncio.sleep(0.01)
        assert 0 == registry.inbound.total


async def test_what_a_socket_held_is_freed_as_soon_as_it_has_closed(registry: Registry) -> None:
    """By its reference count: the garbage collector would have to visit every object of every other connection."""
    handler = blocked_handler(registry)
    handler.released.set()
    gc.disable()
    try:
        async with asyncio.timeout(10), wired(handler.socket) as peer:
            peer.send(Opcode.TEXT, text_frame(8))
            peer.send(Opcode.TEXT, b"the beginning of a message", fin=False)
            while not (handler.handled and (protocol := handler.socket._protocol)):
                await asyncio.sleep(0)
            # The socket itself has no room for a weak reference.
            held = [weakref.ref(handler), weakref.ref(protocol)]
        del handler, peer, protocol
        async with asyncio.timeout(10):
            while any(each() for each in held):
                await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_pending_frames_of_one_user_are_bounded(registry: Registry) -> None:
    """On all sockets together. Each may still have one frame waiting, and another user may have as many as before."""
    data = text_frame(30_000)
    handlers = [blocked_handler(registry) for _ in range(30)]
    other = blocked_handler(registry, "bob")
    async with AsyncExitStack() as stack:
        for handler in [*handlers, other]:
            peer = await stack.enter_async_context(wired(handler.socket))
            for _ in range(10):
                peer.send(Opcode.TEXT, data)
        await wait_until_paused(*handlers, other)
        held = sum(len(data) + sum(handler.waiting) for handler in handlers)
        assert USER_BYTES <= held <= USER_BYTES + 2 * len(handlers) * len(data)
        assert [1] * 5 == sorted(len(handler.waiting) for handler in handlers)[:5]
        assert MAX_PENDING_BYTES <= sum(other.waiting)
        for handler in [*handlers, other]:
            handler.released.set()
        async with asyncio.timeout(20):
            while any(handler.handled < 10 for handler in [*handlers, other]):
                await asyncio.sleep(0.01)
    assert 0 == registry.inbound.total


async def test_frames_of_a_closed_socket_are_not_counted(registry: Registry) -> None:
    """Neither if the connection is lost nor if the server closes it while a frame is being handled."""
    for close in (True, False):
        handler = blocked_handler(registry)
        async with wired(handler.socket) as peer:
            for _ in range(10):
                peer.send(Opcode.TEXT, text_frame(30_000))
            await wait_until_paused(handler)
            assert registry.inbound.total > MAX_PENDING_BYTES
            closed = asyncio.Event()
            handler.socket.on_close(closed.set)
            if close:
                handler.socket.close(1008, "token_revoked")
            else:
                assert handler.socket.transport
                handler.socket.transport.abort()
            await asyncio.wait_for(closed.wait(), 10)
            handler.released.set()
            await asyncio.sleep(0)
            assert 0 == registry.inbound.total


async def test_frames_are_finished_after_a_disconnect_only_within_the_budget(registry: Registry) -> None:
    """A client that sends and disconnects, again and again, does not fill the memory either."""
    handler = blocked_handler(registry)
    handler.released.set()
    registry.inbound.add("ada", USER_BYTES)
    await handler.finish_pending([text_frame(100)] * 3)
    assert 0 == handler.handled
    registry.inbound.remove("ada", 1)
    await handler.finish_pending([text_frame(100)] * 3)
    assert (3, USER_BYTES - 1) == (handler.handled, registry.inbound.total)


async def test_the_decompressed_bytes_of_a_period_are_bounded(registry: Registry) -> None:
    """A frame of a hundred bytes counts as the 64 KB that it becomes. Up to the limit, all are answered."""
    socket = CompressedWebSocket(registry, identity(), "chat", accept(HANDSHAKE).response)
    handler_of(registry, socket, RateLimits(None, enabled=True))
    ping = WireFrame(Opcode.TEXT, b'{"type":"ping"}'.ljust(MAX_MESSAGE_BYTES))
    data = ping.serialize(mask=True, extensions=[permessage_deflate.decompressor()])
    allowed = MAX_BYTES_PER_PERIOD // MAX_MESSAGE_BYTES
    assert len(data) < MAX_MESSAGE_BYTES / 500
    async with wired(socket) as peer:
        peer.writer.write(data * allowed)
        for _ in range(allowed):
            assert "pong" in await peer.text()
        peer.writer.write(data)
        assert (1008, "rate_limited") == await peer.close_frame()
