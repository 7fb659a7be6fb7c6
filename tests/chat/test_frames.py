"""What a client may say on the chat socket."""

import pytest
import ujson

from service.chat import frames
from service.common.errors import MalformedJson, ValidationFailed
from service.edge import frames as every

CONVERSATION = "a" * 24


def parse(text: str) -> frames.Frame:
    return every.parse(text, frames.FRAMES)


def frame(**fields: object) -> str:
    return ujson.dumps(fields)


def test_each_type_becomes_its_model() -> None:
    """With content trimmed and ids in one spelling."""
    said = parse(frame(type="send_message", ref="1", conversation_id=CONVERSATION.upper(), content="  hi "))
    assert said == frames.SendMessage(type="send_message", ref="1", conversation_id=CONVERSATION, content="hi")
    assert parse(frame(type="ping")) == every.Ping(type="ping")
    assert parse(frame(type="sync", conversations={CONVERSATION: 0})).type == "sync"


@pytest.mark.parametrize("text", ["", "{", "nul", '{"type":"ping"', "\ud800"])
def test_what_is_not_json_is_malformed(text: str) -> None:
    """Whatever it was meant to be."""
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
def test_what_breaks_a_rule_is_refused_with_its_field(text: str) -> None:
    """Operators, wrong types, sizes, unknown fields."""
    with pytest.raises(ValidationFailed) as refused:
        parse(text)
    assert refused.value.fields


def test_a_refusal_knows_the_frame_it_answers() -> None:
    """As far as the frame has a ref that is one."""
    with pytest.raises(ValidationFailed) as refused:
        parse(frame(type="bogus", ref="r1"))
    assert refused.value.ref == "r1"
    with pytest.raises(ValidationFailed) as refused:
        parse(frame(type="bogus", ref=OPERATOR))
    assert refused.value.ref is None


@pytest.mark.parametrize("type", ["ping", "bogus"])
def test_a_ref_that_is_no_text_does_not_come_back(type: str) -> None:
    """Half a surrogate pair cannot be written in UTF-8: the refusal would have no answer."""
    with pytest.raises(ValidationFailed) as refused:
        parse(frame(type=type, ref="SURROGATE").replace("SURROGATE", r"\ud800"))
    assert refused.value.ref is None
