"""The peers: the programs that people would use instead, each in its best ordinary configuration, and their traffic."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import jwt

from tests.load import wire
from tests.load.clients import Traffic
from tests.load.machine import Cores
from tests.load.runtimes import (
    CENTRIFUGO,
    MERCURE,
    Compiled,
    CurrentPython,
    GoProgram,
    Nginx,
    NodeModules,
    Runtime,
    Venv,
)
from tests.load.target import LoadTarget, free_port, run_process
from tests.load.wire import Address

PEERS = Path(__file__).parent / "peers"
HTTP_PUBLISHERS = 64
"""Connections that publish over HTTP to WebSockets: each waits for its response, and so many messages are in flight."""
CENTRIFUGO_SECRET = "a secret of the load test, only on loopback"
CENTRIFUGO_CONFIGURATION: dict[str, Any] = {
    "client": {"token": {"hmac_secret_key": CENTRIFUGO_SECRET}, "allowed_origins": ["*"]},
    "channel": {
        "without_namespace": {"allow_subscribe_for_client": True},
        "namespaces": [
            {
                "name": "kept",
                "allow_subscribe_for_client": True,
                "history_size": 10,
                "history_ttl": "3600s",
                "force_recovery": True,
            }
        ],
    },
    "http_api": {"insecure": True},
    "uni_websocket": {"enabled": True},
    "uni_sse": {"enabled": True},
    "log": {"level": "error"},
}
"""In its default engine, which is memory. Whatever is published comes by its HTTP API."""

CENTRIFUGO_READY = b'"connect"'
MERCURE_SECRET = "another secret of the load test, only on loopback"

TrafficFactory = Callable[[Address, int, int], Traffic]
"""`factory(address, count, others)`: the traffic of a workload with `count` connections; each factory explains
`others`."""


def as_loa(address: Address, count: int, others: int) -> Traffic:
    """For a peer that answers the same requests as Loa: its workload makes the traffic of both."""
    raise NotImplementedError


@dataclass(frozen=True)
class Peer:
    """`workloads` are those in which the peer takes part. `command(port, directory)` returns the command that starts
    it, and may write to the directory first. `description` says how it is run."""

    name: str
    description: str
    runtime: Runtime
    command: Callable[[int, Path], Sequence[str]]
    workloads: Mapping[str, TrafficFactory] = field(default_factory=dict)

    def traffic(self, workload: str, count: int, others: int = 0) -> Callable[[Address], Traffic]:
        """See `TrafficFactory`."""
        return lambda address: self.workloads[workload](address, count, others)

    @contextmanager
    def run(self, directory: Path, cores: Cores, environment: Mapping[str, str]) -> Iterator[LoadTarget]:
        """Run the peer until the block ends. Raises StartError, BuildError."""
        port = free_port()
        peer_directory = directory / self.name
        peer_directory.mkdir(parents=True, exist_ok=True)
        command = self.command(port, peer_directory)
        whole = {**os.environ, **environment}
        with run_process(command, port, peer_directory / "output.log", cores, whole, peer_directory) as pids:
            yield LoadTarget(self.name, self.description, ("127.0.0.1", port), lambda: pids)


def sockets(
    path: str,
    *,
    payload: str | None = None,
    ready: bytes = wire.HEAD_ENDS,
    after: bytes = b"",
    keepalive: bytes = wire.PONG,
) -> TrafficFactory:
    """`count` WebSockets that receive what one more WebSocket sends."""

    def traffic(address: Address, count: int, _: int) -> Traffic:
        publisher = (wire.upgrade(address, path), wire.frame(payload or wire.marked_text()))
        listeners = [wire.upgrade(address, path)] * count
        return Traffic(listeners, [publisher], ready=ready, after=after, keepalive=keepalive)

    return traffic


def streams(path: str, publish: str) -> TrafficFactory:
    """`count` event streams, to which `others` connections post."""

    def traffic(address: Address, count: int, others: int) -> Traffic:
        payload = wire.post(address, publish, wire.marked_text(), kind="text/plain")
        return Traffic([wire.stream(address, path)] * count, [(b"", payload)] * others, keepalive=b"")

    return traffic


def rooms(path: Callable[[int, str], str]) -> TrafficFactory:
    """`count` WebSockets and a publisher in one room, and `others` that join another room later."""

    def traffic(address: Address, count: int, others: int) -> Traffic:
        publisher = (wire.upgrade(address, path(count, "talk")), wire.frame(wire.marked_text()))
        listeners = [wire.upgrade(address, path(index, "talk")) for index in range(count)]
        late = [wire.upgrade(address, path(count + 1 + index, "quiet")) for index in range(others)]
        return Traffic(listeners, [publisher], late)

    return traffic


def in_centrifugo(transport: str) -> TrafficFactory:
    """`count` signed-in connections to one channel, to which others publish over HTTP: for event streams, `others`. For
    WebSockets, `others` join another channel later."""
    is_stream = transport == "uni_sse"

    def traffic(address: Address, count: int, others: int) -> Traffic:
        return Traffic(
            [centrifugo_request(address, transport, "talk")] * count,
            [centrifugo_publisher(address)] * (others if is_stream else HTTP_PUBLISHERS),
            [] if is_stream else [centrifugo_request(address, transport, "quiet")] * others,
            ready=CENTRIFUGO_READY,
            keepalive=b"" if is_stream else wire.PONG,
        )

    return traffic


def resuming_in_centrifugo(address: Address, count: int, others: int) -> Traffic:
    """`count` WebSockets to one channel, to which others publish over HTTP, and `others` event streams that resume in
    another, each of which has missed a message."""
    body = json.dumps({"channel": "kept:quiet", "data": wire.marked_text()}).encode()
    url, headers = "http://{}:{}/api/publish".format(*address), {"Content-Type": "application/json"}
    with urlopen(Request(url, body, headers)) as response:
        published = json.load(response)["result"]
    position = {"recover": True, "epoch": published["epoch"], "offset": published["offset"] - 1}
    return replace(
        in_centrifugo("uni_websocket")(address, count, 0),
        joiners=[centrifugo_request(address, "uni_sse", "kept:quiet", position)] * others,
    )


def centrifugo_request(
    address: Address, transport: str, channel: str, position: Mapping[str, Any] | None = None
) -> bytes:
    """A request to connect with a token, and to subscribe to `channel`, from `position` on."""
    token = jwt.encode({"sub": "somebody", "exp": int(time.time()) + 3600}, CENTRIFUGO_SECRET, "HS256")
    command = quote(json.dumps({"token": token, "subs": {channel: dict(position or {})}}))
    path = f"/connection/{transport}?cf_connect={command}"
    return wire.stream(address, path) if transport == "uni_sse" else wire.upgrade(address, path)


def centrifugo_publisher(address: Address) -> tuple[bytes, bytes]:
    body = json.dumps({"channel": "talk", "data": wire.marked_text()})
    return b"", wire.post(address, "/api/publish", body)


def in_mercure(address: Address, count: int, others: int) -> Traffic:
    """`count` event streams of one topic, to which `others` connections post."""
    path = "/.well-known/mercure"
    token = jwt.encode({"mercure": {"publish": ["*"]}}, MERCURE_SECRET, "HS256")
    body = "topic=talk&data=" + wire.marked_text()
    payload = wire.post(address, path, body, wire.bearer(token), kind="application/x-www-form-urlencoded")
    return Traffic([wire.stream(address, f"{path}?topic=talk")] * count, [(b"", payload)] * others, keepalive=b"")


def returning_to_sanic(address: Address, count: int, others: int) -> Traffic:
    """`count` WebSockets and a publisher in one room, and `others` event streams that are opened later."""
    in_room = rooms(lambda _, room: f"/{room}")(address, count, 0)
    return replace(in_room, joiners=[wire.stream(address, "/events/quiet")] * others)


def senders(address: Address, count: int, _: int) -> Traffic:
    """`count` users, each in its own conversation, each waiting for its acks."""
    payload = wire.frame({"ref": wire.MARKER, "content": "x" * wire.TEXT_BYTES})
    publishers = []
    for index in range(count):
        path = f"/ws/chat?user={index:024x}&conversation={index:024x}"
        publishers.append((wire.upgrade(address, path), payload))
    return Traffic([], publishers, answers=True)


def catalogue(work: Path) -> dict[str, Peer]:
    """All peers by name. Their programs are installed in `work`."""
    venv, node, nginx, current_python = Venv(work), NodeModules(work), Nginx(work), CurrentPython()
    loop, centrifugo = Compiled("peers/loop.c", work), GoProgram(CENTRIFUGO, work)
    mercure = GoProgram(MERCURE, work, "deprecated_server,deprecated_transport")

    def uvicorn(app: str) -> Callable[[int, Path], list[str]]:
        def command(port: int, _: Path) -> list[str]:
            options = ("--host", "127.0.0.1", "--port", str(port), "--app-dir", str(PEERS), "--log-level", "error")
            # No ping during a run: the clients do not answer pings.
            return [venv.python, "-m", "uvicorn", f"{app}:app", *options, "--ws-ping-interval", "3600"]

        return command

    def script(name: str) -> Callable[[int, Path], list[str]]:
        def command(port: int, _: Path) -> list[str]:
            return ["env", f"NODE_PATH={node.modules}", "node", str(PEERS / name), str(port)]

        return command

    def nchan(port: int, directory: Path) -> list[str]:
        text = (PEERS / "nchan.conf").read_text()
        configuration = directory / "nginx.conf"
        configuration.write_text(text.replace("MODULE", str(nginx.module())).replace("PORT", str(port)))
        return [str(nginx.program()), "-p", str(directory), "-e", "stderr", "-c", str(configuration)]

    def centrifugo_server(port: int, directory: Path) -> list[str]:
        configuration = directory / "config.json"
        server = {"http_server": {"address": "127.0.0.1", "port": str(port)}}
        configuration.write_text(json.dumps(CENTRIFUGO_CONFIGURATION | server))
        return ["env", "GOMAXPROCS=1", str(centrifugo.program), "--config", str(configuration)]

    def mercure_hub(port: int, _: Path) -> list[str]:
        options = ("--transport-url", "local://local", "--jwt-key", MERCURE_SECRET, "--allow-anonymous")
        return ["env", "GOMAXPROCS=1", str(mercure.program), "--addr", f"127.0.0.1:{port}", *options]

    in_manager = rooms(lambda index, room: f"/ws/chat?user={index}&conversation={room}")
    in_sanic = rooms(lambda index, room: f"/{room}")
    socketio = sockets(
        "/socket.io/?EIO=4&transport=websocket",
        payload=f'42["message","{wire.marked_text()}"]',
        ready=b"40{",
        after=wire.frame("40"),
        keepalive=b"",
    )
    plain_sockets, plain_streams = sockets("/socket"), streams("/stream", "/publish")
    peers = [
        Peer(
            "fastapi",
            "a ConnectionManager that calls `send_json` for each connection, on uvicorn with uvloop, one worker",
            venv,
            uvicorn("fastapi_manager"),
            {"fanout": in_manager, "idle": in_manager, "storm": in_manager},
        ),
        Peer(
            "python-socketio",
            "AsyncServer.emit on uvicorn with uvloop, one worker, WebSocket only",
            venv,
            uvicorn("socketio_python"),
            {"fanout": socketio},
        ),
        Peer(
            "socketio",
            "the Socket.IO server on node, one process, WebSocket only",
            node,
            script("socketio.js"),
            {"fanout": socketio, "idle": socketio},
        ),
        Peer(
            "ws",
            "the `ws` library on node, one process, its documentation's broadcast",
            node,
            script("ws.js"),
            {"fanout": plain_sockets, "idle": plain_sockets},
        ),
        Peer(
            "nchan",
            "nginx with nchan (C), one worker, messages in memory",
            nginx,
            nchan,
            {
                "fanout": plain_sockets,
                "idle": plain_sockets,
                "sse": plain_streams,
                "idle-streams": plain_streams,
            },
        ),
        Peer(
            "centrifugo",
            "Centrifugo (Go) on one core, memory engine, unidirectional; checks the JWT of each connection",
            centrifugo,
            centrifugo_server,
            {
                "fanout": in_centrifugo("uni_websocket"),
                "idle": in_centrifugo("uni_websocket"),
                "storm": in_centrifugo("uni_websocket"),
                "storm-streams": resuming_in_centrifugo,
                "sse": in_centrifugo("uni_sse"),
                "idle-streams": in_centrifugo("uni_sse"),
            },
        ),
        Peer(
            "mercure",
            "Mercure (Go) on one core, without history; its subscribers are anonymous",
            mercure,
            mercure_hub,
            {"sse": in_mercure, "idle-streams": in_mercure},
        ),
        Peer(
            "c-loop",
            "a bare loop in C: one send() for each delivery, and nothing else",
            loop,
            lambda port, _: [loop.program(), str(port)],
            {"fanout": plain_sockets, "sse": plain_streams},
        ),
        Peer(
            "sse-starlette",
            "EventSourceResponse with a queue for each stream, on uvicorn with uvloop, one worker",
            venv,
            uvicorn("sse_starlette_queues"),
            {"sse": plain_streams, "idle-streams": plain_streams},
        ),
        Peer(
            "sanic-ws",
            "a bare Sanic `@app.websocket`, one process, one `ws.send` after the other",
            current_python,
            lambda port, _: [current_python.python, str(PEERS / "sanic_websocket.py"), str(port)],
            {"fanout": in_sanic, "idle": in_sanic, "storm": in_sanic, "storm-streams": returning_to_sanic},
        ),
        Peer(
            "insert-one",
            "a send_message on FastAPI with one insert_one for each message, on Loa's database, w: majority, j",
            venv,
            uvicorn("insert_one"),
            {"send": senders},
        ),
        Peer(
            "sanic-rest",
            "bare Sanic handlers, ujson, one process: Loa's commands to the database one after the other, no token",
            current_python,
            lambda port, _: [current_python.python, str(PEERS / "sanic_rest.py"), str(port)],
            {"rest": as_loa},
        ),
        Peer(
            "fastapi-rest",
            "the same on FastAPI and motor, uvicorn with uvloop, one worker",
            venv,
            uvicorn("fastapi_rest"),
            {"rest": as_loa},
        ),
    ]
    return {peer.name: peer for peer in peers}
