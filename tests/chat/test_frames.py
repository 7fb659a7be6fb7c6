"""Parsing of the frames that clients send on the chat socket."""

import pytest
import ujson

from service.chat import frames
from service.common.errors import MalformedJson, ValidationFailed
from service.edge import frames as edge_frames

CONVERSATION = "a" * 24


def parse(text: str) -> frames.Frame:
    return edge_frames.parse(text, frames.FRAMES)


def frame(**fields: object) -> str:
    return ujson.dumps(fields)


def test_each_type_becomes_its_model() -> None:
    """With trimmed content and normalised ids."""
    message = parse(frame(type="send_message", ref="1", conversation_id=CONVERSATION.upper(), content="  hi "))
    assert message == frames.SendMessage(type="send_message", ref="1", conversation_id=CONVERSATION, content="hi")
    assert parse(frame(type="ping")) == edge_frames.Ping(type="ping")
    assert parse(frame(type="sync", conversations={CONVERSATION: 0})).type == "sync"


@pytest.mark.parametrize("text", ["", "{", "nul", '{"type":"ping"', "\ud800"])
def test_invalid_json_is_malformed(text: str) -> None:
    """Including truncated frames and lone surrogates."""
    with pytest.raises(MalformedJson):
        parse(text)


OPERATOR = {"$gt": ""}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "1",
        "null",
        '"ping"',
        frame(),
        frame(type="bogus"),
        frame(type=OPERATOR),
        frame(type="ping", extra=1),
        frame(type="ping", ref=1),
        frame(type="ping", ref="r" * 65),
        frame(type="send_message", conversation_id=OPERATOR, content="x"),
        frame(type="send_message", conversation_id="short", content="x"),
        frame(type="send_message", conversation_id=CONVERSATION, content=OPERATOR),
        frame(type="send_message", conversation_id=CONVERSATION, content="   "),
        frame(type="send_message", conversation_id=CONVERSATION, content="x" * 4001),
        frame(type="send_message", conversation_id=CONVERSATION, content="a\0b"),
        frame(type="send_message", conversation_id=CONVERSATION, content="SURROGATE").replace("SURROGATE", r"\ud800"),
        frame(type="send_message", conversation_id=CONVERSATION, content="x", nonce="n" * 65),
        frame(type="send_message", conversation_id=CONVERSATION, content="x", nonce=OPERATOR),
        frame(type="send_message", conversation_id=CONVERSATION, content="x", reply_to=OPERATOR),
        frame(type="read", conversation_id=CONVERSATION, seq="1"),
        frame(type="read", conversation_id=CONVERSATION, seq=True),
        frame(type="read", conversation_id=CONVERSATION, seq=0),
        frame(type="read", conversation_id=CONVERSATION, seq=1.5),
        frame(type="read", conversation_id=CONVERSATION, seq=10**30),
        frame(type="sync", conversations={"x": 1}),
        frame(type="sync", conversations={CONVERSATION: -1}),
        frame(type="sync", conversations=[CONVERSATION]),
        frame(type="watch_presence", user_ids=[CONVERSATION] * 201),
        frame(type="watch_presence", user_ids=OPERATOR),
        frame(type="authenticate", token=OPERATOR),
    ],
)
def test_invalid_fields_are_refused_by_name(text: str) -> None:
    """Database operators, wrong types, wrong sizes, unknown fields."""
    with pytest.raises(ValidationFailed) as refused:
        parse(text)
    assert refused.value.fields


def test_refusal_has_the_ref_of_its_frame() -> None:
    """If the frame has a valid one."""
    with pytest.raises(ValidationFailed) as refused:
        parse(frame(type="bogus", ref="r1"))
    assert refused.value.ref == "r1"
    with pytest.raises(ValidationFailed) as refused:
        parse(frame(type="bogus", ref=OPERATOR))
    assert refused.value.ref is None


@pytest.mark.parametrize("type", ["ping", "bogus"])
def test_invalid_ref_is_not_returned(type: str) -> None:
    """A lone surrogate cannot be encoded in UTF-8: sending the error would fail."""
    with pytest.raises(ValidationFailed) as refused:
        parse(frame(type=type, ref="SURROGATE").replace("SURROGATE", r"\ud800"))
    assert refused.value.ref is None
