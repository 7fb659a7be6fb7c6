"""Connections on real TCP sockets, with the test as the peer."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from service.common.identity import Identity
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import WebSocket, accept_websocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = [
    ("Host", "loa"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
]


def identity(user_id: str = "ada", session_id: str = "session", seconds: float = 3600) -> Identity:
    return Identity(user_id, session_id, "token", time.time() + seconds)


def web_socket(registry: Registry, user_id: str = "ada", channel: str = "chat", seconds: float = 3600) -> WebSocket:
    caller = identity(user_id, seconds=seconds)
    return accept_websocket(registry, caller, channel, HANDSHAKE, nest_notice_fields=True)


def event_stream(registry: Registry, user_id: str = "ada", seconds: float = 3600) -> EventStream:
    return EventStream(registry, identity(user_id, seconds=seconds), "notifications")


def queued(connection: Connection) -> list[Event]:
    """Return the events queued for `connection`, including those delivered in this iteration of the event loop."""
    connection.host.fan_out.flush_pending_batches()
    return connection.queue.events()


@asynccontextmanager
async def running_registry() -> AsyncIterator[Registry]:
    registry = Registry(TimerWheel())
    registry.timers.start()
    yield registry
    for connection in registry:
        if connection.transport:
            connection.transport.abort()
        else:
            registry.unregister(connection)  # without a transport, nothing else does
    await registry.wait_until_empty(5)
    registry.timers.close()


class Peer:
    """The client's end of a connection: bytes, and the frames of a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""
        self._protocol = ClientProtocol(parse_uri("ws://loa/"))
        self._protocol.key = KEY
        self._frames: list[Frame] = []

    async def read_handshake(self) -> None:
        """Read the response to the upgrade request."""
        self._protocol.send_request(self._protocol.connect())
        self._protocol.key = KEY
        self._protocol.data_to_send()
        self.head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        self._protocol.receive_data(self.head)
        self._protocol.events_received()

    async def frame(self) -> Frame:
        """Return the next frame of any kind. Raises EOFError after the last one."""
        while not self._frames:
            data = await asyncio.wait_for(self.reader.read(65536), 10)
            if not data:
                raise EOFError
            self._protocol.receive_data(data)
            self._frames += [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        return self._frames.pop(0)

    async def text(self) -> str:
        """Return the next text message, skipping pings."""
        while True:
            frame = await self.frame()
            if frame.opcode is Opcode.TEXT:
                return bytes(frame.data).decode()
            assert frame.opcode is not Opcode.CLOSE, self.closed_with()

    async def close_frame(self) -> tuple[int, str]:
        """Read up to the close frame and return its code and reason."""
        while (await self.frame()).opcode is not Opcode.CLOSE:
            pass
        return self.closed_with()

    def closed_with(self) -> tuple[int, str]:
        assert self._protocol.close_rcvd
        return self._protocol.close_rcvd.code, self._protocol.close_rcvd.reason

    def send(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        self.writer.write(Frame(opcode, data, fin).serialize(mask=True))

    async def eof(self) -> None:
        """Read until the connection ends."""
        while await asyncio.wait_for(self.reader.read(65536), 10):
            pass


@asynccontextmanager
async def wired(connection: Connection, receive_buffer: int | None = None) -> AsyncIterator[Peer]:
    """Give `connection` a transport. `receive_buffer`: bytes that the kernel buffers for a peer that does not read."""
    listening = socket.create_server(("127.0.0.1", 0))
    peer_socket = socket.socket()
    if receive_buffer:
        peer_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer_socket.connect(listening.getsockname())
    own_socket, _ = listening.accept()
    if receive_buffer:
        own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_buffer)
    listening.close()
    for end in (own_socket, peer_socket):
        end.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=peer_socket, limit=1024 if receive_buffer else 2**16)
    peer = Peer(reader, writer)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, own_socket)
    if isinstance(connection, WebSocket):
        await peer.read_handshake()
    try:
        yield peer
    finally:
        if connection.transport:
            connection.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
