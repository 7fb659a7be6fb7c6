"""The reader that the tests of the streams rely on, held to the examples of the standard."""

import pytest

from tests.protocol.sse import Event, Parser


def read(*chunks: bytes) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_lines_of_data_are_joined() -> None:
    """The standard's example of a stock ticker: several `data` lines are one event."""
    assert [Event("message", "YHOO\n+2\n10", "")] == read(b"data: YHOO\ndata: +2\ndata: 10\n\n")


def test_an_id_lasts_and_an_empty_one_resets() -> None:
    """The standard's second example: a comment, an id that stays in force, an id taken back, and a leading space."""
    text = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert [
        Event("message", "first event", "1"),
        Event("message", "second event", ""),
        Event("message", " third event", ""),
    ] == read(text)


def test_empty_data_is_an_event_and_no_data_is_none() -> None:
    """The standard's third example, whose last event is never dispatched for want of an empty line."""
    assert [Event("message", "", ""), Event("message", "\n", "")] == read(b"data\n\ndata\ndata\n\ndata:")


def test_a_name_without_data_is_forgotten() -> None:
    """An event name belongs to its own block only."""
    assert [Event("message", "x", "")] == read(b"event: lost\n\ndata: x\n\n")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_and_every_cut(end: bytes) -> None:
    """CR, LF and CRLF end a line alike, wherever the network cuts, inside a character as well."""
    text = b"\xef\xbb\xbf" + end.join([b"event: a", b"data: \xe2\x82\xac", b"", b"data: 2", b"", b""])
    expected = [Event("a", "€", ""), Event("message", "2", "")]
    assert expected == read(text)
    assert expected == read(*(text[at : at + 1] for at in range(len(text))))


def test_retry_is_digits() -> None:
    """A retry that is not a number, which a browser ignores, is a fault of the server."""
    parser = Parser()
    assert [] == list(parser.feed(b"retry: 3000\n:\n"))
    assert ([3000], [""]) == (parser.retries, parser.comments)
    with pytest.raises(AssertionError):
        list(parser.feed(b"retry: 3s\n"))
