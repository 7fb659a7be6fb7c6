"""Fuzzing: no input may cause an exception or an undocumented answer. `python -m tests.security.fuzz --minutes 10`.

There are four targets: the bytes of a WebSocket, split in any way; the text inside its frames; every frame of the
AsyncAPI document and every operation of the OpenAPI document on a real server. Each round uses another seed, which is
printed when a round finds something.
"""

import argparse
import asyncio
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.common.identity import Identity
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.realtime.websocket import accept_websocket
from tests.protocol.servers import serving
from tests.protocol.test_frames import frame
from tests.running import Server
from tests.security.effort import Effort
from tests.security.frame_fuzz import fuzz_chat_socket, fuzz_frames

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
SESSION_ENDING = (
    "/api/v1/auth/logout",
    "/api/v1/auth/password",
    "/api/v1/auth/sessions/{session_id}",
    "/api/v1/users/me",
)
IN_PATH = re.compile(r"\{(\w+)\}")
TIMEOUT = 20.0
CLOSE, GOING_AWAY = 0x88, 1001
"""The first byte of a close frame, and the code with which this module closes a socket that is still open."""

# What a client may put on the wire: valid frames, invalid frames, and random bytes.
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
        websocket = accept_websocket(Registry(TimerWheel()), caller, "fuzz", HANDSHAKE.items())
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
        url = f"{self.server.url}/api/v1{path}"
        while True:
            answer = self.session.post(url, json=body, headers=headers, timeout=TIMEOUT)
            if answer.status_code != requests.codes.too_many_requests:
                break
            time.sleep(float(answer.headers["Retry-After"]))
        assert answer.ok, answer.text
        return answer.json()

    def _sign_in(self, how: str) -> None:
        self.token = ""
        self.token = self._post(f"/auth/{how}", self.account)["access_token"]


def fuzz_api(server: Server, effort: Effort) -> Counter[int]:
    """Fuzz every operation of the document. Return the number of answers by status."""
    api = Api(server)
    for operation in api.operations:
        api.fuzz(operation, effort)
    return api.statuses


def check_log(server: Server) -> None:
    """Check that no failure was hidden from the clients."""
    errors = [line for line in server.text.splitlines() if '"level": "error"' in line or "Traceback" in line]
    assert [] == errors


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.security.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--rate-limits", choices=("on", "off"), default="off")
    options = parser.parse_args()
    print(f"seed {options.seed}, rate limits {options.rate_limits}", flush=True)
    end = time.monotonic() + options.minutes * 60
    pure, rounds = Counter[str](), 0
    answers, statuses = Counter[str](), Counter[int]()
    variables = {"LOG_LEVEL": "WARNING", "RATE_LIMITS": options.rate_limits}
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), **variables) as server:
        while time.monotonic() < end:
            number = options.seed + rounds
            fuzz_socket(Effort(500, number))
            fuzz_frames(Effort(2000, number))
            pure += Counter({"byte streams": 500, "texts": 2000})
            answers += fuzz_chat_socket(server, Effort(100, number))
            statuses += fuzz_api(server, Effort(10, number))
            check_log(server)
            rounds += 1
            done = ", ".join(f"{number} {name}" for name, number in pure.items())
            summary = f"{done}, {answers.total()} frames, {statuses.total()} requests"
            print(f"round {rounds}: {summary}; no problem found", flush=True)
        print("answers by status:", dict(sorted(statuses.items())), flush=True)
        print("answers to frames:", dict(answers.most_common()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
