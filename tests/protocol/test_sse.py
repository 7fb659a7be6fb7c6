"""The SSE parser of the stream tests, checked against the examples of the standard."""

import pytest

from tests.protocol.sse import Event, Parser


def read(*chunks: bytes) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_data_lines_are_joined() -> None:
    """The standard's first example."""
    assert [Event("message", "YHOO\n+2\n10", "")] == read(b"data: YHOO\ndata: +2\ndata: 10\n\n")


def test_an_id_stays_until_an_empty_one_resets_it() -> None:
    """The standard's second example, with a comment and a leading space."""
    text = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert [
        Event("message", "first event", "1"),
        Event("message", "second event", ""),
        Event("message", " third event", ""),
    ] == read(text)


def test_empty_data_is_an_event_and_missing_data_is_none() -> None:
    """The standard's third example; its last event lacks the empty line, and so is not dispatched."""
    assert [Event("message", "", ""), Event("message", "\n", "")] == read(b"data\n\ndata\ndata\n\ndata:")


def test_an_event_name_applies_to_its_own_block_only() -> None:
    assert [Event("message", "x", "")] == read(b"event: lost\n\ndata: x\n\n")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_ending_is_parsed_however_the_bytes_are_split(end: bytes) -> None:
    text = b"\xef\xbb\xbf" + end.join([b"event: a", b"data: \xe2\x82\xac", b"", b"data: 2", b"", b""])
    expected = [Event("a", "€", ""), Event("message", "2", "")]
    assert expected == read(text)
    assert expected == read(*(text[at : at + 1] for at in range(len(text))))


def test_a_retry_that_is_not_a_number_is_an_error() -> None:
    """Browsers ignore it."""
    parser = Parser()
    assert [] == list(parser.feed(b"retry: 3000\n:\n"))
    assert ([3000], [""]) == (parser.retries, parser.comments)
    with pytest.raises(AssertionError):
        list(parser.feed(b"retry: 3s\n"))
