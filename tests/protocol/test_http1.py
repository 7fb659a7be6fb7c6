"""HTTP/1.1 on the wire: what RFC 9110 and RFC 9112 require of a server, byte by byte."""

import re
import socket
import time

import pytest

from service.http.strict_protocol import LINGER_TIME
from tests.running import Server

LOGIN = b'{"username": "nobody_here", "password": "wrong horse"}'
POST = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(LOGIN), LOGIN)
NEXT = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def exchange(server: Server, *pieces: bytes) -> bytes:
    """Send `pieces`, each after the server has had the one before, and return all that comes until it closes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


def test_the_rest_of_a_refused_body_is_received(server: Server) -> None:
    """A client that is still sending gets the response, and no reset (RFC 9112, 9.6)."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as client:
        client.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        received = b""
        while data := client.recv(65536):
            received += data
        assert [413] == statuses(received)
        for _ in range(10):
            client.sendall(b"x" * 10_000)
        assert b"" == client.recv(1)


@pytest.mark.scenario
def test_a_client_that_never_stops_sending_a_refused_body_is_disconnected(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as client:
        client.sendall(POST + b"Content-Length: 100000000\r\n\r\n")
        assert [413] == statuses(client.recv(65536))
        began = time.monotonic()
        while time.monotonic() - began < 20:
            try:
                client.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.1)
        assert LINGER_TIME - 1 < time.monotonic() - began < LINGER_TIME + 5


@pytest.mark.parametrize(
    "request_bytes",
    [
        CHUNKED + CHUNK + b"0\r\n\r\n",
        CHUNKED.replace(b"chunked", b"Chunked ") + CHUNK + b"0\r\n\r\n",
        CHUNKED + CHUNK + b"0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
        CHUNKED + b"%X;name=value\r\n%b\r\n" % (len(LOGIN), LOGIN) + b"000\r\n\r\n",
        CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in LOGIN) + b"0\r\n\r\n",
        b"\r\n\r\n" + POST + b"Content-Length: %d\r\n\r\n%b" % (len(LOGIN), LOGIN),
    ],
    ids=["chunked", "capital", "trailers", "extension", "tiny chunks", "empty lines before"],
)
def test_a_valid_body_is_read_and_the_connection_goes_on(server: Server, request_bytes: bytes) -> None:
    assert [401, 200] == statuses(exchange(server, request_bytes + NEXT))


@pytest.mark.parametrize(
    "body",
    [
        b"0x35\r\n" + LOGIN + b"\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"%x\r\n%bXX0\r\n\r\n" % (len(LOGIN), LOGIN),
        b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(LOGIN), LOGIN),
        b"fffffffff\r\n",
        CHUNK + b"0\r\nX : 1\r\n\r\n",
        CHUNK + b"0\r\n" + b"X: 1\r\n" * 2000 + b"\r\n",
        b"1;" + b"x" * 300,
    ],
    ids=["0x", "negative", "no CRLF", "bare LF", "huge", "bad trailer", "endless trailers", "endless extension"],
)
def test_a_broken_body_is_refused_and_the_connection_closed(server: Server, body: bytes) -> None:
    assert [400] == statuses(exchange(server, CHUNKED + body + NEXT))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A : b", 400),
        (b"GET /a\0b HTTP/1.1\r\nHost: a", 400),
        (b"GET healthz HTTP/1.1\r\nHost: a", 400),
        (b"GET http://?a=b HTTP/1.1\r\nHost: a", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a", 501),
    ],
)
def test_a_bad_head_gets_a_problem_document_and_ends_the_connection(server: Server, head: bytes, status: int) -> None:
    answer = exchange(server, head + b"\r\n\r\n" + NEXT)
    assert [status] == statuses(answer)
    assert b"application/problem+json" in answer


def test_a_content_length_over_the_limit_is_rejected_before_the_body(server: Server) -> None:
    """RFC 9110, 10.1.1: the client gets 413 instead of 100."""
    assert [413] == statuses(exchange(server, POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"))


def test_no_100_continue_for_a_path_that_does_not_exist(server: Server) -> None:
    head = POST.replace(b"auth/login", b"nowhere") + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    assert [404] == statuses(exchange(server, head))


def test_100_continue_is_sent_for_an_expected_body(server: Server) -> None:
    head = POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(LOGIN)
    assert [100, 401] == statuses(exchange(server, head, LOGIN))


def test_every_response_has_a_date_and_no_empty_alt_svc(server: Server) -> None:
    """RFC 9110, 6.6.1; RFC 7838, 3."""
    head = exchange(server, NEXT).partition(b"\r\n\r\n")[0].lower()
    assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d gmt", head)
    assert b"alt-svc" not in head


HANDSHAKE = (
    b"GET /api/v1/ws/chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: %b\r\n"
)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def test_another_websocket_version_gets_the_supported_one(server: Server) -> None:
    """RFC 6455, 4.4; RFC 9110, 7.8: `Upgrade` is also an option of the connection."""
    answer = exchange(server, HANDSHAKE % KEY + b"Sec-WebSocket-Version: 12\r\nConnection: close\r\n\r\n")
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 426 ")
    assert b"\r\nsec-websocket-version: 13" in head
    assert b"\r\nupgrade: websocket" in head
    assert re.search(rb"\r\nconnection: [a-z-]+, upgrade(\r\n|$)", head)


def test_http_1_0_cannot_be_upgraded(server: Server) -> None:
    head = (HANDSHAKE % KEY).replace(b"HTTP/1.1", b"HTTP/1.0") + b"Sec-WebSocket-Version: 13\r\n\r\n"
    assert [400] == statuses(exchange(server, head))
