"""The peers: what people would use instead, each in its best ordinary configuration, and how to talk to it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.load import wire
from tests.load.clients import Traffic
from tests.load.kits import Compiled, Kit, Nginx, NodeModules, Own, Venv
from tests.load.machine import Cores
from tests.load.subject import Subject, free_port, process
from tests.load.wire import Address

PEERS = Path(__file__).parent / "peers"

Talk = Callable[[Address, int, int], Traffic]
"""`talk(address, count, others)`: a workload's traffic with `count` connections; what `others` are, each one says."""


@dataclass(frozen=True)
class Peer:
    """`talks`: the workloads it takes part in. `command(port, directory)`: how to start it; it may write there first.

    `how`: how it is run, for whoever reads the numbers.
    """

    name: str
    how: str
    kit: Kit
    command: Callable[[int, Path], Sequence[str]]
    talks: Mapping[str, Talk] = field(default_factory=dict)

    def traffic(self, workload: str, count: int, others: int = 0) -> Callable[[Address], Traffic]:
        """See `Talk`."""
        return lambda address: self.talks[workload](address, count, others)

    @contextmanager
    def running(self, directory: Path, cores: Cores, environment: Mapping[str, str]) -> Iterator[Subject]:
        """Raises CannotStart, CannotBuild."""
        port = free_port()
        own = directory / self.name
        own.mkdir(parents=True, exist_ok=True)
        command = self.command(port, own)
        whole = {**os.environ, **environment}
        with process(command, port, own / "output.log", cores, whole, own) as pids:
            yield Subject(self.name, self.how, ("127.0.0.1", port), lambda: pids)


def sockets(
    path: str,
    *,
    says: str | None = None,
    ready: bytes = wire.HEAD_ENDS,
    after: bytes = b"",
    keepalive: bytes = wire.PONG,
) -> Talk:
    """`count` sockets, where what one more says, all are sent."""

    def talk(address: Address, count: int, _: int) -> Traffic:
        speaker = (wire.upgrade(address, path), wire.frame(says or wire.text()))
        listeners = [wire.upgrade(address, path)] * count
        return Traffic(listeners, [speaker], ready=ready, after=after, keepalive=keepalive)

    return talk


def streams(path: str, publish: str) -> Talk:
    """`count` event streams, to which `others` post."""

    def talk(address: Address, count: int, others: int) -> Traffic:
        says = wire.post(address, publish, wire.text(), kind="text/plain")
        return Traffic([wire.stream(address, path)] * count, [(b"", says)] * others, keepalive=b"")

    return talk


def rooms(path: Callable[[int, str], str]) -> Talk:
    """`count` sockets in one room, where one more talks, and `others` that come to another room."""

    def talk(address: Address, count: int, others: int) -> Traffic:
        speaker = (wire.upgrade(address, path(count, "talk")), wire.frame(wire.text()))
        listeners = [wire.upgrade(address, path(index, "talk")) for index in range(count)]
        late = [wire.upgrade(address, path(count + 1 + index, "quiet")) for index in range(others)]
        return Traffic(listeners, [speaker], late)

    return talk


def senders(address: Address, count: int, _: int) -> Traffic:
    """`count` people, each in a conversation of their own, each waiting for their acks."""
    says = wire.frame({"ref": wire.MARK, "content": "x" * wire.TEXT_BYTES})
    speakers = []
    for index in range(count):
        path = f"/ws/chat?user={index:024x}&conversation={index:024x}"
        speakers.append((wire.upgrade(address, path), says))
    return Traffic([], speakers, answers=True)


def catalog(work: Path) -> dict[str, Peer]:
    """All peers by name; their programs are, or will be, in `work`."""
    venv, node, nginx, own = Venv(work), NodeModules(work), Nginx(work), Own()
    loop = Compiled("peers/loop.c", work)

    def uvicorn(app: str) -> Callable[[int, Path], list[str]]:
        def command(port: int, _: Path) -> list[str]:
            options = ("--host", "127.0.0.1", "--port", str(port), "--app-dir", str(PEERS), "--log-level", "error")
            # No ping within the length of a run: the clients answer none.
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

    in_plan = rooms(lambda index, room: f"/ws/chat?user={index}&conversation={room}")
    in_sanic = rooms(lambda index, room: f"/{room}")
    socketio = sockets(
        "/socket.io/?EIO=4&transport=websocket",
        says=f'42["message","{wire.text()}"]',
        ready=b"40{",
        after=wire.frame("40"),
        keepalive=b"",
    )
    plain_sockets, plain_streams = sockets("/socket"), streams("/stream", "/publish")
    peers = [
        Peer(
            "fastapi",
            "the plan's ConnectionManager (a `send_json` for each connection) on uvicorn with uvloop, one worker",
            venv,
            uvicorn("fastapi_manager"),
            {"fanout": in_plan, "idle": in_plan, "storm": in_plan},
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
            "c-loop",
            "a bare loop in C: one send() for each dispatcher, and nothing else",
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
            own,
            lambda port, _: [own.python, str(PEERS / "sanic_websocket.py"), str(port)],
            {"fanout": in_sanic, "idle": in_sanic, "storm": in_sanic},
        ),
        Peer(
            "insert-one",
            "the plan's send_message on FastAPI: one insert_one for each message, on Loa's database, w: majority, j",
            venv,
            uvicorn("insert_one"),
            {"send": senders},
        ),
    ]
    return {peer.name: peer for peer in peers}
