"""One attempt: what is posted, what each kind of answer means, and where Loa does not connect to."""

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from service.common import public_post
from service.webhooks import sender as sender_module
from service.webhooks.sender import Outcome, WebhookSender
from tests.webhooks.certificate import LOCALHOST
from tests.webhooks.conftest import SECRET
from tests.webhooks.receiver import OK, Receiver, answer, receiving

OTHER_SECRET = "whsec_c29tZSBvdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzLi4u"
ID, BODY = "user_created_1", '{"type":"user.created","data":{"name":"Trần"}}'
FOREVER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 0x400 + b"\r\n"

Senders = Callable[..., WebhookSender]


@pytest.fixture
async def senders() -> AsyncIterator[Senders]:
    """Makes senders and closes them; on loopback, as the receiver is."""
    made: list[WebhookSender] = []

    def make(url: str, *secrets: str, allow_private: bool = True, **options: Any) -> WebhookSender:
        made.append(WebhookSender(url, secrets or (SECRET,), allow_private=allow_private, connections=2, **options))
        return made[-1]

    yield make
    for sender in made:
        await sender.close()


async def test_a_webhook_is_posted_as_the_specification_says(receiver: Receiver, senders: Senders) -> None:
    """Its signature is verified by the receiver with the reference library, and here by the specification's words."""
    assert Outcome.DELIVERED is await senders(receiver.url).send(ID, BODY)
    (request,) = receiver.requests
    assert ("POST /hooks?from=loa HTTP/1.1", BODY.encode()) == (request.line, request.body)
    assert "application/json" == request.headers["content-type"]
    timestamp = request.headers["webhook-timestamp"]
    assert abs(time.time() - int(timestamp)) < 60
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = hmac.digest(key, f"{ID}.{timestamp}.{BODY}".encode(), hashlib.sha256)
    assert f"v1,{base64.b64encode(signature).decode()}" == request.headers["webhook-signature"]


async def test_each_secret_signs(receiver: Receiver, senders: Senders) -> None:
    """So a receiver can change its secret at any time while Loa has both."""
    async with receiving(OTHER_SECRET) as other:
        for each in (receiver, other):
            assert Outcome.DELIVERED is await senders(each.url, SECRET, OTHER_SECRET).send(ID, BODY)
            assert 2 == len(each.requests[0].headers["webhook-signature"].split(" "))


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (answer(200), Outcome.DELIVERED),
        (answer(299), Outcome.DELIVERED),
        (answer(400), Outcome.CLIENT_ERROR),
        (answer(429, "Retry-After: 1"), Outcome.CLIENT_ERROR),
        (answer(410), Outcome.GONE),
        (answer(500), Outcome.SERVER_ERROR),
        (answer(304), Outcome.REDIRECT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{", Outcome.DELIVERED),
        (b"\x16\x03\x01\x00\x00 garbage\r\n\r\n", Outcome.CONNECTION),
        (b"HTTP/1.1 abc\r\n\r\n", Outcome.CONNECTION),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500_000, Outcome.CONNECTION),
    ],
    ids=["200", "299", "400", "429", "410", "500", "304", "short-body", "garbage", "no-status", "endless-header"],
)
async def test_the_status_decides(receiver: Receiver, senders: Senders, response: bytes, outcome: Outcome) -> None:
    """Nothing but 2xx is a delivery."""
    receiver.behaviour = lambda _: response
    assert outcome is await senders(receiver.url).send(ID, BODY)
    receiver.behaviour = lambda _: OK
    assert Outcome.DELIVERED is await senders(receiver.url).send(ID, BODY)


async def test_redirects_are_not_followed(receiver: Receiver, senders: Senders) -> None:
    async with receiving(SECRET) as target:
        receiver.behaviour = lambda _: answer(307, f"Location: {target.url}")
        assert Outcome.REDIRECT is await senders(receiver.url).send(ID, BODY)
        assert [] == target.requests


async def test_an_endless_body_is_not_read(
    receiver: Receiver, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that is long nor one that never ends; the status has decided already."""
    monkeypatch.setattr(public_post, "BODY_TIMEOUT", 0.1)
    for body in (FOREVER, FOREVER + (b"400\r\n" + b"x" * 0x400 + b"\r\n") * 1000):
        receiver.behaviour = lambda _, body=body: body  # type: ignore[misc]
        async with asyncio.timeout(5):
            assert Outcome.DELIVERED is await senders(receiver.url).send(ID, BODY)


async def test_a_receiver_that_stalls_times_out(
    receiver: Receiver, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that sends a byte now and then. Its connections do not keep the next attempt waiting."""
    monkeypatch.setattr(sender_module, "ANSWER_TIMEOUT", 0.2)
    sender = senders(receiver.url)
    for stalled in (None, b"HTTP/1.1 200 OK\r\nX: "):
        receiver.behaviour = lambda _, stalled=stalled: stalled  # type: ignore[misc]
        assert [Outcome.TIMEOUT] * 4 == [await sender.send(ID, BODY) for _ in range(4)]
    receiver.behaviour = lambda _: OK
    assert Outcome.DELIVERED is await sender.send(ID, BODY)


async def test_a_receiver_that_is_down_has_no_connection(receiver: Receiver, senders: Senders) -> None:
    await receiver.stop()
    assert Outcome.CONNECTION is await senders(receiver.url).send(ID, BODY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0x7f000001"])
async def test_private_addresses_are_refused(receiver: Receiver, senders: Senders, host: str) -> None:
    """However they are written. Nothing is sent."""
    sender = senders(f"http://{host}:{receiver.port}/", allow_private=False)
    assert Outcome.PRIVATE_ADDRESS is await sender.send(ID, BODY)
    assert [] == receiver.requests


@pytest.mark.parametrize("host", ["2130706433", "127.1"])
async def test_unusual_forms_of_an_address_are_no_host(receiver: Receiver, senders: Senders, host: str) -> None:
    """The operating system would take them for an address, here a private one."""
    assert Outcome.DELIVERED is not await senders(f"http://{host}:{receiver.port}/").send(ID, BODY)
    assert [] == receiver.requests


async def test_a_name_that_changes_between_check_and_use_leads_nowhere_else(
    receiver: Receiver, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resolved once, and the connection goes to the address that was checked, here one that refuses it."""
    answers = [["198.51.100.7"], ["127.0.0.1"]]
    asked: list[str] = []
    connected: list[Any] = []
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: str, port: Any, **options: Any) -> Any:
        if host != "receiver.example":
            return await resolve(host, port, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in answers[len(asked) - 1]]

    async def connect(_: socket.socket, address: Any) -> None:
        connected.append(address[0])
        raise OSError

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("service.common.public_network.is_public_address", lambda ip: ip != "127.0.0.1")
    sender = senders(f"http://receiver.example:{receiver.port}/", allow_private=False)
    monkeypatch.setattr(loop, "sock_connect", connect)
    assert Outcome.CONNECTION is await sender.send(ID, BODY)
    assert (["receiver.example"], ["198.51.100.7"]) == (asked, connected)
    assert Outcome.PRIVATE_ADDRESS is await sender.send(ID, BODY)
    assert ["198.51.100.7"] == connected
    assert [] == receiver.requests


async def test_tls_is_verified_for_the_name(receiver: Receiver, senders: Senders, tmp_path: Path) -> None:
    """For the name, although the connection goes to an address; by the system's authorities, unless it gets others."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(LOCALHOST)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    await receiver.stop()
    await receiver.start(tls)
    by_address = receiver.url.replace("http:", "https:")
    by_name = by_address.replace("127.0.0.1", "localhost")
    trusting = ssl.create_default_context(cafile=certificate)
    assert Outcome.CONNECTION is await senders(by_name).send(ID, BODY)
    assert Outcome.CONNECTION is await senders(by_address, tls=trusting).send(ID, BODY)
    assert [] == receiver.requests
    assert Outcome.DELIVERED is await senders(by_name, tls=trusting).send(ID, BODY)
