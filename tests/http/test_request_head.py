"""The check of a request's head."""

from contextlib import suppress

import pytest
from httptools import parse_url
from hypothesis import given
from hypothesis import strategies as st

from service.http.request_head import BadHead, Head, check_head

GET = b"GET / HTTP/1.1\r\nHost: a"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    "head",
    [
        GET,
        b"GET / HTTP/1.0",
        b"GET / HTTP/1.1\r\nHost:",
        b"GET / HTTP/1.1\r\nhost: example.org:8443",
        b"GET / HTTP/1.1\r\nHost: [::1]:80",
        b"GET http://a/b?c HTTP/1.1\r\nHost: a",
        b"GET HTTPS://a:1?c HTTP/1.1\r\nHost: a",
        b"OPTIONS * HTTP/1.1\r\nHost: a",
        b"GET //a{b}\\?%00 HTTP/1.1\r\nHost: a",
        GET + b"\r\nX-Empty:\r\nX-Latin: caf\xe9\r\nX-Tab: a\tb \t",
        POST + b"Content-Length: 12",
    ],
)
def test_a_valid_head_passes(head: bytes) -> None:
    assert not check_head(head).chunked


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED ", b"\tchunked"])
def test_the_name_of_the_chunked_coding_is_case_insensitive(value: bytes) -> None:
    assert Head(b"1.1", chunked=True) == check_head(POST + b"Transfer-Encoding:" + value)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /",
        b"GET  / HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.1 \r\nHost: a",
        b"GET / HTTP/2.0\r\nHost: a",
        b"G@T / HTTP/1.1\r\nHost: a",
        b"GET a HTTP/1.1\r\nHost: a",
        b"GET * HTTP/1.1\r\nHost: a",
        b"GET /\0 HTTP/1.1\r\nHost: a",
        b"GET /\xe9 HTTP/1.1\r\nHost: a",
        b"GET /#a HTTP/1.1\r\nHost: a",
        b"GET http://a:x/ HTTP/1.1\r\nHost: a",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a",
        b"GET ws://a/ HTTP/1.1\r\nHost: a",
        b"GET http:// HTTP/1.1\r\nHost: a",
        b"GET http:///a HTTP/1.1\r\nHost: a",
        b"GET http://?a HTTP/1.1\r\nHost: a",
        b"GET http://:80/ HTTP/1.1\r\nHost: a",
        b"GET http://a!/ HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a b",
        b"GET / HTTP/1.1\r\nHost: a/b",
        b"GET / HTTP/1.1\r\nHost: u@a",
        b"GET / HTTP/1.1\r\n Host: a\r\nHost: a",
        GET + b"\r\nX : a",
        GET + b"\r\n: a",
        GET + b"\r\nX",
        GET + b"\r\nX: a\0",
        GET + b"\r\nX: a\rb",
        GET + b"\r\nX: a\nb",
        GET + b"\r\nX: a\x7f",
        GET + b"\r\nX: a\r\n folded",
        GET + b"\r\nX\x01: a",
        POST + b"Content-Length: -1",
        POST + b"Content-Length: +1",
        POST + b"Content-Length: 1_0",
        POST + b"Content-Length: 1, 1",
        POST + b"Content-Length:",
        POST + "Content-Length: ٤".encode(),
        POST + b"Content-Length: 1\r\nContent-Length: 1",
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        POST + b"Transfer-Encoding: \x0bchunked",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked",
    ],
)
def test_an_invalid_head_is_a_bad_request(head: bytes) -> None:
    with pytest.raises(BadHead) as refused:
        check_head(head)
    assert 400 == refused.value.status


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT a:443 HTTP/1.1\r\nHost: a",
        POST + b"Transfer-Encoding: gzip, chunked",
        POST + b"Transfer-Encoding: identity",
    ],
)
def test_a_method_or_coding_that_is_not_implemented_has_status_501(head: bytes) -> None:
    with pytest.raises(BadHead) as refused:
        check_head(head)
    assert 501 == refused.value.status


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(tail: bytes) -> None:
    for head in (tail, GET + tail, GET + b"\r\n" + tail):
        with suppress(BadHead):
            check_head(head)


@given(
    st.sampled_from([b"", b"http://", b"HTTPS://"]),
    st.text("/?:@[]%*;=&.{}\\|^~'!$,+-_09af", max_size=12).map(str.encode),
)
def test_the_parser_understands_every_target_that_passes(scheme: bytes, target: bytes) -> None:
    """Sanic answers nothing if it does not."""
    with suppress(BadHead):
        check_head(b"GET %b%b HTTP/1.1\r\nHost: a" % (scheme, target))
        parse_url(scheme + target)
