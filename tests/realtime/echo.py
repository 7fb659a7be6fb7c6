"""An echo server on Loa's WebSocket, for the conformance suite. `python -m tests.realtime.echo` prints its port."""

import socket
import time

from sanic import HTTPResponse, Request, Sanic

from service.common.identity import Identity
from service.edge.hijack import HijackResponse
from service.realtime.event import text_frame
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import WebSocket

DAY = 86_400


class Echo(WebSocket):
    """Sends each message back, text as text and bytes as bytes."""

    accepts_binary = True

    def on_binary(self, data: bytes) -> None:
        frame = bytearray(text_frame(data))
        frame[0] = 0x82
        assert self.transport
        self.transport.write(bytes(frame))

    def echo(self, text: str) -> None:
        assert self.transport
        self.transport.write(text_frame(text.encode()))


def create_app(registry: Registry) -> Sanic:
    app = Sanic("echo", configure_logging=False)
    app.config.ACCESS_LOG = False

    @app.get("/")
    async def echo(request: Request) -> HTTPResponse:
        caller = Identity("someone", "session", "token", time.time() + DAY)
        connection = Echo(registry, caller, "echo", request.headers.items())
        connection.on_text = connection.echo
        with registry.registration(connection):
            connection.go_live([])
        return HijackResponse(connection)

    @app.before_server_start
    async def start(_: Sanic) -> None:
        registry.timers.start()

    return app


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    create_app(Registry(TimerWheel())).run(sock=listening, single_process=True, motd=False)
