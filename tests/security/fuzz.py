"""Fuzzing: no input may cause an exception or an undocumented answer. `python -m tests.security.fuzz --minutes 10`.

There are three targets: the bytes of a WebSocket, split in any way; the text inside its frames; and every operation of
the OpenAPI document on a real server. Each round uses another seed, which is printed when a round finds something.
"""

import argparse
import asyncio
import json
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.chat.frames import FRAMES
from service.common.errors import MalformedJson, ValidationFailed
from service.common.identity import Identity
from service.edge.frames import ClientFrame, parse
from service.realtime.event import Event
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import WebSocket
from tests.protocol.servers import serving
from tests.protocol.test_frames import frame
from tests.running import Server

CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}
EVENT_STREAM = "/api/v1/notifications/stream"
"""Its response never ends, so it is only requested without a valid token."""
SESSION_ENDING = ("/api/v1/auth/logout", "/api/v1/auth/password", "/api/v1/auth/sessions/{session_id}")
IN_PATH = re.compile(r"\{(\w+)\}")
TIMEOUT = 20.0
CLOSE, GOING_AWAY = 0x88, 1001
"""The first byte of a close frame, and the code with which this module closes a socket that is still open."""

Test = TypeVar("Test", bound=Callable[..., None])


class Effort(NamedTuple):
    """How much to try: the number of examples of each kind, and the seed. Without a seed the examples are always the
    same."""

    examples: int
    seed: int | None = None

    def __call__(self, test: Test) -> Test:
        settings = hypothesis.settings(
            max_examples=self.examples,
            derandomize=self.seed is None,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        return settings(test if self.seed is None else seed(self.seed)(test))


# What a client may put on the mongo_proxy: valid frames, invalid frames, and random bytes.
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode()),
    st.sampled_from([b'{"type":"ping"}', b"\xff", b"\xed\xa0\x80", b"\x03\xe8", b"\x03", b"", b"x" * 125]),
)
HEADS = st.one_of(st.sampled_from([0x81, 0x01, 0x80, 0x00, 0x89, 0x8A, 0x88, 0x82]), st.integers(0, 255))
FRAMES_ON_WIRE = st.builds(frame, HEADS, PAYLOADS.map(lambda payload: payload[:125]))
NOISE = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"\x81\xff" + b"\x7f" * 12, b"\x81\xfe\xff\xff\0\0\0\0", b"\x81\xff\0\0\0\0\0\1\0\1\0\0\0\0"]),
)
STREAMS = st.lists(st.one_of(FRAMES_ON_WIRE, FRAMES_ON_WIRE, NOISE), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def fuzz_socket(effort: Effort) -> None:
    """However the bytes are split, the socket parses the same messages, closes with the same code and raises
    nothing."""
    with asyncio.Runner() as runner:
        failures: list[Any] = []
        runner.get_loop().set_exception_handler(lambda _, context: failures.append(context))

        @effort
        @given(STREAMS, CUTS)
        def split_changes_nothing(data: bytes, sizes: list[int]) -> None:
            whole = runner.run(_receive([data]))
            in_pieces = runner.run(_receive(_split(data, sizes)))
            assert whole == in_pieces
            assert not failures, failures

        split_changes_nothing()


def _split(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces, start, count = [], 0, 0
    while start < len(data):
        size = sizes[count % len(sizes)]
        pieces.append(data[start : start + size])
        start, count = start + size, count + 1
    return pieces


async def _receive(pieces: Sequence[bytes]) -> tuple[list[str], int]:
    """The messages that a socket parses from `pieces`, and the code with which it closes."""
    ours, theirs = socket.socketpair()
    with theirs:
        caller = Identity("0" * 24, "0" * 24, "token", time.time() + 900)
        websocket = WebSocket(Registry(TimerWheel()), caller, "fuzz", HANDSHAKE.items())
        texts: list[str] = []
        websocket.on_text = texts.append
        websocket.go_live([])
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: websocket, ours)
        for piece in pieces:
            if not transport.is_closing():
                websocket.data_received(piece)
        while websocket.buffered and not transport.is_closing():
            await asyncio.sleep(0)
        websocket.close(GOING_AWAY, "end")
        transport.close()
        await asyncio.sleep(0)
        answer = b""
        while more := await asyncio.get_running_loop().run_in_executor(None, theirs.recv, 65536):
            answer += more
    return texts, _close_code(answer.partition(b"\r\n\r\n")[2])


def _close_code(frames: bytes) -> int:
    """Return the code of the close frame after any pongs: GOING_AWAY if the client broke no rule, 0 without a close
    frame."""
    while frames:
        size = 2 + frames[1]
        if frames[0] == CLOSE:
            return int.from_bytes(frames[2:4], "big")
        frames = frames[size:]
    return 0


# What a client may send: JSON of any shape, JSON that is almost a valid frame, and text that is not JSON.
NAMES = sorted(
    {name for model in ClientFrame.__subclasses__() for name in model.model_fields} | {"surprise", "$gt", ""}
)
TYPES = ["send_message", "read", "typing", "sync", "watch_presence", "authenticate", "ping", "pong", "", "__class__"]
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    st.sampled_from(["0" * 24, "F" * 24, "x" * 5000, 2**53, 2**63, -1, 10**400, "\ud800", "\0", {"$gt": ""}]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=5), st.sampled_from([*NAMES, "0" * 24])), inner, max_size=4),
    ),
    max_leaves=8,
)
JSON_VALUES = st.one_of(
    VALUES,
    st.builds(
        lambda type_, fields: {"type": type_, **fields},
        st.one_of(st.sampled_from(TYPES), SCALARS),
        st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
    ),
)
TEXTS = st.one_of(
    JSON_VALUES.map(json.dumps),
    st.text(),
    st.builds(lambda value, end: json.dumps(value)[:end], JSON_VALUES, st.integers(0, 60)),
    st.integers(1, 30_000).map(lambda depth: "[" * depth),
)


def fuzz_frames(effort: Effort) -> None:
    """Any text is parsed as a frame, or rejected with an error that can be encoded and sent back."""

    @effort
    @given(TEXTS)
    def parsed_or_rejected(text: str) -> None:
        try:
            parsed = parse(text, FRAMES)
        except (MalformedJson, ValidationFailed) as error:
            problems = [field._asdict() for field in getattr(error, "fields", ())]
            fields = {"ref": error.ref, "code": "refused", "detail": error.detail, "errors": problems}
            assert Event("error", fields, channel="chat").ws_frame
        else:
            assert parsed.type in TYPES
            assert Event("ack", {"ref": parsed.ref}, channel="chat").ws_frame

    parsed_or_rejected()


class Api:
    """A signed-in client of a real server, for schemathesis."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.schema = schemathesis.openapi.from_url(server.url + "/docs/openapi.json")
        self.session = requests.Session()
        self.session.trust_env = False
        self.account = {"username": f"fuzz{time.time_ns():x}", "password": "correct horse"}
        self.statuses: Counter[int] = Counter()
        self._sign_in("register")
        self.ids = self._create_objects()

    @property
    def operations(self) -> list[Any]:
        return [found.ok() for found in self.schema.get_all_operations()]

    def fuzz(self, operation: Any, effort: Effort) -> None:
        """Send valid and invalid requests: no answer is a 5xx, and every answer matches its description."""

        @effort
        @given(st.data())
        def answers_as_described(data: st.DataObject) -> None:
            mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
            # Half of the ids exist; otherwise everything behind the id check would stay untested.
            known = {name: self.ids[name] for name in IN_PATH.findall(operation.path) if name in self.ids}
            ids = {"path_parameters": known} if known and data.draw(st.booleans()) else {}
            case = data.draw(operation.as_strategy(generation_mode=mode, **ids))
            if operation.path in SESSION_ENDING:
                self._sign_in("login")
            headers = {} if operation.path == EVENT_STREAM else {"Authorization": f"Bearer {self.token}"}
            answer = case.call_and_validate(
                base_url=self.server.url, session=self.session, headers=headers, checks=CHECKS, timeout=TIMEOUT
            )
            self.statuses[answer.status_code] += 1

        try:
            answers_as_described()
        finally:
            if operation.path in SESSION_ENDING:
                self.account = {**self.account, "username": f"fuzz{time.time_ns():x}"}
                self._sign_in("register")
                self.ids = self._create_objects()

    def _create_objects(self) -> dict[str, str]:
        """Create one object for each id that a path can contain."""
        other = {**self.account, "username": f"other{time.time_ns():x}"}
        friend = self._post("/auth/register", other)["user"]["id"]
        group = self._post("/conversations", {"participant_ids": [friend], "title": "A group"})["id"]
        return {
            "user_id": friend,
            "conversation_id": group,
            "message_id": self._post(f"/conversations/{group}/messages", {"content": "A message"})["id"],
            "post_id": self._post("/posts", {"content": "A post"})["id"],
            "emoji": "👍",
        }

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.session.post(f"{self.server.url}/api/v1{path}", json=body, headers=headers, timeout=TIMEOUT)
        assert answer.ok, answer.text
        return answer.json()

    def _sign_in(self, how: str) -> None:
        answer = self.session.post(f"{self.server.url}/api/v1/auth/{how}", json=self.account, timeout=TIMEOUT)
        assert answer.ok, answer.text
        self.token = answer.json()["access_token"]


def fuzz_api(server: Server, effort: Effort) -> Counter[int]:
    """Fuzz every operation of the document. Return the number of answers by status."""
    api = Api(server)
    for operation in api.operations:
        api.fuzz(operation, effort)
    return api.statuses


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.security.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    end = time.monotonic() + options.minutes * 60
    socket_examples, frame_examples, rounds, statuses = 0, 0, 0, Counter[int]()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), LOG_LEVEL="WARNING") as server:
        while time.monotonic() < end:
            number = options.seed + rounds
            fuzz_socket(Effort(500, number))
            fuzz_frames(Effort(2000, number))
            statuses += fuzz_api(server, Effort(10, number))
            socket_examples, frame_examples, rounds = socket_examples + 500, frame_examples + 2000, rounds + 1
            summary = f"{socket_examples} byte streams, {frame_examples} texts, {statuses.total()} requests"
            print(f"round {rounds}: {summary}; no problem found", flush=True)
        print("answers by status:", dict(sorted(statuses.items())), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
