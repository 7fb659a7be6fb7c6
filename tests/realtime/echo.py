"""An echo server on Loa's WebSocket, for the conformance suite. `python -m tests.realtime.echo` prints its port."""

import socket
import time

from sanic import HTTPResponse, Request, Sanic

from service.common import deflate
from service.common.identity import Identity
from service.edge.hijack import HijackResponse
from service.realtime import websocket
from service.realtime.event import Event
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import CompressedWebSocket, WebSocket, accept_websocket

DAY = 86_400
TEXT, BINARY = 1, 2


class Echoed(Event):
    """A message as it came, rather than a JSON object."""

    @property
    def json(self) -> bytes:
        return self.body


class Echo(WebSocket):
    """Sends each message back, text as text and bytes as bytes."""

    accepts_binary = True

    def on_binary(self, data: bytes) -> None:
        self._write(data, BINARY)

    def echo(self, text: str) -> None:
        self._write(text.encode(), TEXT)

    def _write(self, data: bytes, opcode: int) -> None:
        frame = bytearray(self.encode(Echoed("", data, channel="")))
        frame[0] = frame[0] & 0xF0 | opcode
        assert self.transport
        self.transport.write(bytes(frame))


class CompressedEcho(Echo, CompressedWebSocket):
    """The same for who agrees on permessage-deflate."""


def create_app(registry: Registry) -> Sanic:
    app = Sanic("echo", configure_logging=False)
    app.config.ACCESS_LOG = False

    @app.get("/")
    async def echo(request: Request) -> HTTPResponse:
        caller = Identity("someone", "session", "token", time.time() + DAY)
        kinds = {WebSocket: Echo, CompressedWebSocket: CompressedEcho}
        accepted = accept_websocket(registry, caller, "echo", request.headers.items())
        connection = kinds[type(accepted)](registry, caller, "echo", accepted.handshake_bytes())
        connection.on_text = connection.echo
        with registry.registration(connection):
            connection.go_live([])
        return HijackResponse(connection)

    @app.before_server_start
    async def start(_: Sanic) -> None:
        registry.timers.start()

    return app


if __name__ == "__main__":
    # The suite compares bytes, and its longest messages are twice as long as those that Loa reads.
    deflate.MAX_PADDING = 0
    websocket.MAX_MESSAGE_BYTES = 256 * 1024
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    create_app(Registry(TimerWheel())).run(sock=listening, single_process=True, motd=False)
