"""One attempt: what each kind of answer means, and where Loa does not connect to."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from service.common.times import now
from service.push import sender as sender_module
from service.push.sender import Attempt, Outcome, PushSender
from service.push.subscription_store import Subscription
from service.push.vapid import VapidKey
from tests.push.push_service import PushServiceDouble
from tests.webhooks.receiver import answer

PAYLOAD = (
    b'{"type": "message", "title": "a", "body": "b", "url": "/", "tag": "c", "unread_count": 1}'  # all that is checked
)
Senders = Callable[..., PushSender]


@pytest.fixture
async def senders(trusted: None) -> AsyncIterator[Senders]:
    made: list[PushSender] = []

    def make(*, allow_private: bool = True, contact: str = "") -> PushSender:
        made.append(PushSender(contact, allow_private=allow_private))
        return made[-1]

    yield make
    for sender in made:
        await sender.close()


async def push(sender: PushSender, service: PushServiceDouble, origin: str = "") -> Attempt:
    subscribed: dict[str, Any] = service.subscribe("a")
    keys = subscribed["keys"]
    subscription = Subscription("id", "u", "s", subscribed["endpoint"], keys["p256dh"], keys["auth"], "en", origin)
    return await sender.send(VapidKey.generate(), subscription, PAYLOAD, "topic", "normal")


ANSWERS = [
    (answer(201), Attempt(Outcome.SENT)),
    (answer(202), Attempt(Outcome.SENT)),
    (answer(404), Attempt(Outcome.GONE)),
    (answer(410), Attempt(Outcome.GONE)),
    (answer(429), Attempt(Outcome.THROTTLED)),
    (answer(429, "Retry-After: 120"), Attempt(Outcome.THROTTLED, 120.0)),
    (answer(429, "Retry-After: -5"), Attempt(Outcome.THROTTLED)),
    (answer(503, "Retry-After: Fri, 27 Nov 2020 10:00:00 GMT"), Attempt(Outcome.SERVER_ERROR)),
    (answer(503, "Retry-After: soon"), Attempt(Outcome.SERVER_ERROR)),
    (answer(503, "Retry-After: Fri, 27 Nov 99999999999 10:00:00 GMT"), Attempt(Outcome.SERVER_ERROR)),
    (answer(400), Attempt(Outcome.REFUSED)),
    (answer(403), Attempt(Outcome.REFUSED)),
    (answer(413), Attempt(Outcome.REFUSED)),
    (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Attempt(Outcome.CONNECTION)),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
async def test_answers(push_service: PushServiceDouble, senders: Senders, number: int) -> None:
    response, attempt = ANSWERS[number]
    push_service.behaviour = lambda _: response
    assert attempt == await push(senders(), push_service)


@pytest.mark.parametrize("zone", ["GMT", ""])
async def test_a_retry_after_may_be_a_date(push_service: PushServiceDouble, senders: Senders, zone: str) -> None:
    until = now() + timedelta(seconds=300)
    response = answer(503, f"Retry-After: {until:%a, %d %b %Y %H:%M:%S} {zone}".rstrip())
    push_service.behaviour = lambda _: response
    attempt = await push(senders(), push_service)
    assert Outcome.SERVER_ERROR is attempt.outcome
    assert 290 < attempt.retry_after <= 300


async def test_redirects_are_not_followed(push_service: PushServiceDouble, senders: Senders) -> None:
    push_service.behaviour = lambda _: answer(307, f"Location: https://{push_service.host}/push/b")
    assert Attempt(Outcome.REFUSED) == await push(senders(), push_service)
    assert ["/push/a"] == [each.path for each in push_service.pushes]


async def test_private_addresses_are_refused(push_service: PushServiceDouble, senders: Senders) -> None:
    """Although the name is that of a known push service: its DNS may say anything."""
    assert Attempt(Outcome.PRIVATE_ADDRESS) == await push(senders(allow_private=False), push_service)
    assert 0 == push_service.connections


async def test_a_name_is_not_resolved_again_after_the_check(
    push_service: PushServiceDouble, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is public, each further one loopback: nothing is connected to there."""
    loop, asked = asyncio.get_running_loop(), 0
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        nonlocal asked
        if host != "localhost":
            return await resolve(host, port, **options)
        asked += 1
        address = "192.0.0.9" if asked == 1 else "127.0.0.1"  # public, and answers nobody
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("service.common.public_network.is_public_address", lambda text: text == "192.0.0.9")
    monkeypatch.setattr(sender_module, "ANSWER_TIMEOUT", 0.5)
    attempt = await push(senders(allow_private=False), push_service)
    assert attempt.outcome in (Outcome.TIMEOUT, Outcome.CONNECTION)
    assert 1 == asked
    assert 0 == push_service.connections


async def test_a_push_service_that_stalls_times_out(
    push_service: PushServiceDouble, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "ANSWER_TIMEOUT", 0.3)
    push_service.behaviour = lambda _: None
    assert Attempt(Outcome.TIMEOUT) == await push(senders(), push_service)


async def test_a_name_that_cannot_be_resolved_ends_the_attempt(
    senders: Senders, push_service: PushServiceDouble
) -> None:
    """Also one with a part that is too long: no name brings the queue to a stop."""
    keys = push_service.subscribe("a")["keys"]
    for host in ("none.invalid", f"{'x' * 64}.invalid"):
        subscription = Subscription("i", "u", "s", f"https://{host}/", keys["p256dh"], keys["auth"], "en", "")
        attempt = await senders().send(VapidKey.generate(), subscription, PAYLOAD, "topic", "normal")
        assert Attempt(Outcome.CONNECTION) == attempt


async def test_an_unknown_certificate_is_refused(
    push_service: PushServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    sender = PushSender("", allow_private=True)
    try:
        assert Attempt(Outcome.CONNECTION) == await push(sender, push_service)
    finally:
        await sender.close()
    assert [] == push_service.pushes


async def test_push_services_learn_whom_to_reach(push_service: PushServiceDouble, senders: Senders) -> None:
    """The operator's address, or else that of the page."""
    for contact, origin, expected in (
        ("mailto:me@example.org", "https://chat.example.org", "mailto:me@example.org"),
        ("", "https://chat.example.org", "https://chat.example.org"),
        ("", "", sender_module.DEFAULT_CONTACT),
    ):
        await push(senders(contact=contact), push_service, origin)
        assert expected == push_service.pushes[-1].claims["sub"]
