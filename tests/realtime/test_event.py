"""Events as bytes."""

import pytest
import ujson
from websockets.frames import Frame
from websockets.streams import StreamReader

from service.realtime.event import Event, text_frame


def test_an_event_is_one_object_on_a_socket() -> None:
    """The type and the fields stand side by side."""
    event = Event("typing", {"conversation_id": "c", "data": {"user_id": "u"}}, channel="chat")
    assert ujson.loads(event.json) == {"type": "typing", "conversation_id": "c", "data": {"user_id": "u"}}


def test_an_event_without_fields_is_valid_json() -> None:
    """No comma is left over."""
    assert Event("pong", {}, channel="chat").json == b'{"type":"pong"}'


def test_a_named_event_of_a_stream_carries_its_fields_and_no_id() -> None:
    """So a browser's `onmessage` does not see it, and its last event id stays."""
    event = Event("unread_count", {"unread_count": 3, "seq": 9}, channel="notifications")
    assert event.sse_bytes == b'event: unread_count\ndata: {"unread_count":3,"seq":9}\n\n'


def test_a_numbered_event_of_a_stream_is_unnamed_whole_and_has_its_number_as_id() -> None:
    """What a browser resumes after."""
    event = Event("NEW_COMMENT", {"seq": 7, "data": {}}, channel="notifications", topic="n:u", sequence=7)
    assert event.sse_bytes == b'id: 7\ndata: {"type":"NEW_COMMENT","seq":7,"data":{}}\n\n'


def test_line_breaks_in_text_do_not_break_the_stream() -> None:
    """They are escaped by JSON, U+2028 needs no care in an event stream."""
    event = Event("x", {"text": "a\nb\r\nc\u2028d"}, channel="notifications")
    assert event.sse_bytes.count(b"\n") == 3
    assert b"\r" not in event.sse_bytes


def test_an_event_is_encoded_once() -> None:
    """Every connection is handed the same bytes."""
    event = Event("x", {"a": 1}, channel="chat", topic="t", sequence=1)
    assert event.ws_frame is event.ws_frame
    assert event.sse_bytes is event.sse_bytes


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_frames_are_what_the_websockets_library_reads(size: int) -> None:
    """At both sides of each boundary between the three forms of the length."""
    reader = StreamReader()
    reader.feed_data(text_frame(b"x" * size))
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stop:
        next(parser)
    assert bytes(stop.value.value.data) == b"x" * size
    assert stop.value.value.fin
