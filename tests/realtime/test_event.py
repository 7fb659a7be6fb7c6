"""The encodings of events."""

from collections.abc import Sequence

import pytest
import ujson
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.streams import StreamReader

from service.realtime.event import Event, text_frame


def parse(data: bytes, extensions: Sequence[Extension] = ()) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=False, extensions=extensions)
    with pytest.raises(StopIteration) as stop:
        next(parser)
    return stop.value.value  # type: ignore[no-any-return]


def test_an_event_is_one_object_on_a_socket() -> None:
    """The type and the fields are members of the same object."""
    event = Event("typing", {"conversation_id": "c", "data": {"user_id": "u"}}, channel="chat")
    assert ujson.loads(event.json) == {"type": "typing", "conversation_id": "c", "data": {"user_id": "u"}}


def test_an_event_without_fields_is_valid_json() -> None:
    """There is no trailing comma."""
    assert Event("pong", {}, channel="chat").json == b'{"type":"pong"}'


def test_a_named_event_of_a_stream_carries_its_fields_and_no_id() -> None:
    """So a browser does not pass it to `onmessage`, and keeps its last event id."""
    event = Event("unread_count", {"unread_count": 3, "seq": 9}, channel="notifications")
    assert event.sse_bytes == b'event: unread_count\ndata: {"unread_count":3,"seq":9}\n\n'


def test_a_sequenced_event_of_a_stream_has_no_name_and_its_sequence_number_as_id() -> None:
    """A browser resumes after this id."""
    event = Event("NEW_COMMENT", {"seq": 7, "data": {}}, channel="notifications", topic="n:u", sequence=7)
    assert event.sse_bytes == b'id: 7\ndata: {"type":"NEW_COMMENT","seq":7,"data":{}}\n\n'


def test_line_breaks_in_text_do_not_break_the_stream() -> None:
    """JSON escapes them; U+2028 is no line break in an event stream."""
    event = Event("x", {"text": "a\nb\r\nc\u2028d"}, channel="notifications")
    assert event.sse_bytes.count(b"\n") == 3
    assert b"\r" not in event.sse_bytes


def test_an_event_is_encoded_once() -> None:
    """All connections share the same bytes."""
    event = Event("x", {"a": 1}, channel="chat", topic="t", sequence=1)
    assert event.ws_frame is event.ws_frame
    assert event.ws_compressed is event.ws_compressed
    assert event.sse_bytes is event.sse_bytes


def test_only_long_events_are_compressed() -> None:
    """As the peer decompresses them (RFC 7692), with spaces behind the object."""
    short, long = [Event("x", {"text": text}, channel="chat") for text in ("a", "all of them " * 100)]
    assert short.ws_compressed is short.ws_frame
    frame = parse(long.ws_compressed, [PerMessageDeflate(True, True, 15, 15)])
    assert long.json == bytes(frame.data).rstrip(b" ")
    assert len(long.ws_compressed) < len(long.ws_frame) / 4
    assert len(long.ws_frame) < 1300


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_the_websockets_library_parses_text_frames(size: int) -> None:
    """On both sides of each boundary between the three encodings of the length."""
    frame = parse(text_frame(b"x" * size))
    assert bytes(frame.data) == b"x" * size
    assert frame.fin
