"""Fuzzing of the text inside frames: parsed in this process, and on the chat socket of a real server."""

import asyncio
import json
from collections import Counter
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.chat.frames import FRAMES
from service.common.errors import MalformedJson, ValidationFailed
from service.edge.frames import ClientFrame, parse
from service.realtime.event import Event
from tests.protocol.clients import Clients
from tests.protocol.servers import load_contract
from tests.running import Server
from tests.security.attack_surface import ID, AttackSurface, Field, Frame
from tests.security.effort import Effort

RATE_LIMITED = (1008, "rate_limited")
FAILURES = ("internal_error", "unavailable")
"""Codes that say that something is wrong with the server."""

# What a client may send: JSON of any shape, JSON that is almost a valid frame, and text that is not JSON.
NAMES = sorted(
    {name for model in ClientFrame.__subclasses__() for name in model.model_fields} | {"surprise", "$gt", ""}
)
TYPES = [
    "send_message",
    "read",
    "typing",
    "sync",
    "watch_presence",
    "watch_posts",
    "authenticate",
    "ping",
    "pong",
    "",
    "__class__",
]
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


def fuzz_chat_socket(server: Server, effort: Effort) -> Counter[str]:
    """Send frames with values that the AsyncAPI document allows, and with others.

    Each is answered once, by an event of the document, and no socket closes but one that has sent too much. Return the
    number of answers by `type` or `code`.
    """
    kinds = [frame for frame in AttackSurface.fetch(server).frames if frame.channel == "chat"]
    assert kinds
    with asyncio.Runner() as runner:
        chat = Chat(server)
        runner.run(chat.open())
        frames = st.sampled_from(kinds).flatmap(lambda kind: _frames(kind, chat.ids))

        @effort
        @given(st.lists(frames, max_size=20))
        def each_is_answered(sent: list[dict[str, Any]]) -> None:
            runner.run(chat.exchange(sent))

        try:
            each_is_answered()
        finally:
            runner.run(chat.close())
    return chat.answers


class Chat:
    """A user on the chat socket of a server, with a conversation and a post."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._refs = count(1)
        self.ids: list[str] = []
        self.answers: Counter[str] = Counter()

    async def open(self) -> None:
        self._clients = Clients(self._server, load_contract(self._server))
        self._user, friend = await self._clients.users(2)
        conversation = await self._user.post("/conversations", {"participant_ids": [friend.id], "title": "A group"})
        message = await self._user.post(f"/conversations/{conversation['id']}/messages", {"content": "A message"})
        post = await self._user.post("/posts", {"content": "A post"})
        self.ids = [friend.id, self._user.id, *(made["id"] for made in (conversation, message, post))]
        self._socket = await self._user.chat_socket()

    async def close(self) -> None:
        await self._clients.__aexit__(None, None, None)

    async def exchange(self, frames: list[dict[str, Any]]) -> None:
        """Send the frames and wait for the answer to each."""
        refs = set()
        for frame in frames:
            refs.add(ref := str(next(self._refs)))
            await self._socket.send_raw(json.dumps({**frame, "ref": ref}))
        for _ in frames:
            answer = await self._socket.next_answer()
            if answer is None:
                assert self._socket.end == RATE_LIMITED, (self._socket.end, frames)
                self._socket = await self._user.chat_socket()
                self.answers["closed"] += 1
                return
            kind = answer.get("code", answer["type"])
            assert kind not in FAILURES, (answer, frames)
            self.answers[kind] += 1
            # JSON that cannot be parsed has no ref.
            assert answer.get("ref") in refs or kind == "malformed_json", (answer, frames)
            refs.discard(answer.get("ref"))
        await self._socket.flush()
        assert [] == self._socket.remaining("ack", "error", "pong"), frames
        self._socket.clear()


def _frames(kind: Frame, ids: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Frames of this kind: most of their fields as the document describes them, some missing, some of another type."""
    fields = {field.name: _values(field, ids) for field in kind.fields if field.name not in ("type", "ref")}
    valid = st.fixed_dictionaries({"type": st.just(kind.type), **fields})
    return st.one_of(
        valid,
        st.fixed_dictionaries({"type": st.just(kind.type)}, optional={**fields, "surprise": VALUES}),
        st.builds(lambda frame, name, value: {**frame, name: value}, valid, st.sampled_from(NAMES), VALUES),
    )


def _values(field: Field, ids: list[str]) -> st.SearchStrategy[Any]:
    return _matching(field.schema, st.one_of(st.sampled_from(ids), st.just("0" * 24)))


def _matching(schema: Any, ids: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, and a few at its bounds."""
    if choices := schema.get("anyOf"):
        return st.one_of(*(_matching(choice, ids) for choice in choices))
    match schema.get("type"):
        case "string" if schema.get("pattern") == ID:
            return ids
        case "string":
            least, most = schema.get("minLength", 0), schema.get("maxLength", 100)
            return st.one_of(
                st.text(min_size=least, max_size=min(most, 50)),
                st.sampled_from(["x" * most, "x" * (most + 1), "\u200b" * max(least, 1)]),
            )
        case "integer":
            least, most = schema.get("minimum", 0), schema.get("maximum", 2**31)
            return st.one_of(st.integers(least, most), st.sampled_from([least - 1, most, most + 1]))
        case "array":
            return st.lists(_matching(schema["items"], ids), max_size=5)
        case "object":
            return st.dictionaries(ids, _matching(schema["patternProperties"][ID], ids), max_size=5)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    raise AssertionError(f"no values for {schema}")
