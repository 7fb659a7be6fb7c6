"""The notification stream: headers, events, and resuming without loss or repetition."""

import asyncio

import pytest

from service.datastores.mongo import Mongo
from tests.notifications.service_process import ServiceProcess
from tests.protocol.clients import Clients, User, is_time, problem
from tests.protocol.moderator import settings_of
from tests.protocol.stream import Refused, Stream


async def notified(anna: User, ben: User, count: int) -> str:
    """Give Anna so many notifications: the post they are about."""
    post = await anna.create_post()
    for _ in range(count):
        await ben.comment(post)
    async with asyncio.timeout(30):
        while (await anna.get("/notifications/unread_count"))["unread_count"] < count:
            await asyncio.sleep(0.02)  # They are paid in the background.
    return post


async def test_the_response_has_headers_that_prevent_buffering(clients: Clients) -> None:
    anna = await clients.user()
    stream = await anna.stream()
    headers = stream.response.headers
    assert 200 == stream.response.status_code
    assert "text/event-stream" == headers["Content-Type"].partition(";")[0]
    assert "no-cache, no-transform" == headers["Cache-Control"]
    assert "no" == headers["X-Accel-Buffering"]
    assert "Content-Length" not in headers
    assert "Content-Encoding" not in headers
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert headers["X-Request-ID"]
    assert [3000] == stream.parser.retries
    hello = stream.hello["data"]
    assert {"seq", "unread_count", "heartbeat_interval", "token_expires_at"} == set(hello)
    assert (0, 0, 20) == (hello["seq"], hello["unread_count"], hello["heartbeat_interval"])
    assert is_time(hello["token_expires_at"])
    assert "hello" == stream.received[0]["type"]
    assert "0" == stream.last_event_id
    assert "chunked" == headers["Transfer-Encoding"]


async def test_the_body_begins_with_hello_which_carries_retry_and_id(clients: Clients) -> None:
    """One block with data: fetch-event-source and httpx-sse make an empty message of a block without."""
    anna = await clients.user()
    url = f"{clients.server.url}/api/v1/notifications/stream"
    async with clients.http.stream("GET", url, params={"token": anna.token}) as response:
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if b"\n\n" in body:
                break
    assert body.startswith(b"retry: 3000\nid: 0\nevent: hello\ndata: {")


async def test_a_client_of_http_1_0_gets_the_stream_without_chunks(clients: Clients) -> None:
    """nginx sends HTTP/1.0 unless it is configured otherwise."""
    anna = await clients.user()
    host, port = clients.server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /api/v1/notifications/stream?token={anna.token} HTTP/1.0\r\nHost: a\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b"transfer-encoding" not in head.lower()
    assert b"retry: 3000\n" == await asyncio.wait_for(reader.readline(), 10)
    writer.close()


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
async def test_a_cut_before_the_first_notification_loses_nothing(clients: Clients, name: str) -> None:
    """A standard EventSource resumes from the id of hello."""
    anna, ben = await clients.users(2)
    post = await notified(anna, ben, 2)
    stream = await anna.stream()
    await stream.disconnect()
    await ben.comment(post)
    resumed = await clients.stream(query={"token": anna.token, name: stream.last_event_id})
    assert 3 == (await resumed.notification())["seq"]


async def test_the_token_is_accepted_in_the_header_in_the_url_and_as_a_ticket(clients: Clients) -> None:
    anna = await clients.user()
    for options in (
        {"query": {"token": anna.token}},
        {"query": {"ticket": await anna.ticket()}},
        {"headers": anna.bearer},
    ):
        await (await clients.stream(**options)).event("hello")


async def test_without_an_id_only_new_notifications_are_sent(clients: Clients) -> None:
    """The count in hello includes earlier ones."""
    anna, ben = await clients.users(2)
    post = await notified(anna, ben, 3)
    stream = await anna.stream()
    assert (3, 3) == (stream.hello["data"]["seq"], stream.hello["data"]["unread_count"])
    await ben.comment(post)
    assert 4 == (await stream.notification())["seq"]
    assert [4] == stream.seqs
    assert "4" == stream.last_event_id


@pytest.mark.parametrize("by", ["header", "query"])
async def test_later_notifications_are_replayed_once_before_live_ones(clients: Clients, by: str) -> None:
    anna, ben = await clients.users(2)
    post = await notified(anna, ben, 5)
    listed = {item["seq"]: item for item in (await anna.get("/notifications"))["items"]}
    for last in (0, 2, 4, 5):
        stream = await (anna.stream(last_event_id=last) if by == "header" else anna.stream(last_event_id_in_url=last))
        assert (5, "hello") == (stream.hello["data"]["seq"], stream.received[0]["type"])
        assert [listed[seq] for seq in range(last + 1, 6)] == [await stream.notification() for _ in range(last, 5)]
        await stream.disconnect()
    stream = await anna.stream(last_event_id=3)
    await ben.comment(post)
    assert [4, 5, 6] == [(await stream.notification())["seq"] for _ in range(3)]


async def test_the_header_takes_precedence_over_the_url(clients: Clients) -> None:
    """A browser that reconnects repeats the URL and adds the header."""
    anna, ben = await clients.users(2)
    await notified(anna, ben, 4)
    stream = await anna.stream(last_event_id=3, last_event_id_in_url=1)
    assert 4 == (await stream.notification())["seq"]
    assert [4] == stream.seqs


@pytest.mark.parametrize("last", ["7", "99999999999999999999", "abc", "-1", "1.0", "０", "$gt"])
async def test_an_unknown_id_gets_reset_with_a_reason_and_the_stream_goes_live(clients: Clients, last: str) -> None:
    anna, ben = await clients.users(2)
    post = await notified(anna, ben, 2)
    stream = await anna.stream(last_event_id_in_url=last)
    reset = await stream.event("reset")
    assert {"reason"} == set(reset["data"])
    await ben.comment(post)
    assert 3 == (await stream.notification())["seq"]
    assert [3] == stream.seqs


@pytest.fixture
async def anna_of_many(four_worker_clients: Clients) -> User:
    """A user with 1003 notifications, stored by the service's own code, but at once: as many comments take 7 s."""
    anna, ben = await four_worker_clients.users(2)
    mongo = Mongo(str(settings_of(four_worker_clients.server.pid).mongodb_uri))
    process = ServiceProcess(mongo.database)
    outcomes = await process.notifications.notify([process.request(anna.id, ben.id) for _ in range(1003)])
    assert [None] * 1003 == outcomes
    await process.close()
    mongo.close()
    return anna


async def test_a_thousand_missed_notifications_are_replayed_and_more_get_reset(anna_of_many: User) -> None:
    stream = await anna_of_many.stream(last_event_id=3)
    assert list(range(4, 1004)) == [(await stream.notification())["seq"] for _ in range(1000)]
    assert [] == stream.remaining("reset")
    too_far = await anna_of_many.stream(last_event_id=2)
    await too_far.event("reset")
    assert [] == too_far.seqs
    socket = await anna_of_many.notification_socket(last_seq=3)
    assert list(range(4, 1004)) == [(await socket.notification())["seq"] for _ in range(1000)]
    too_far_too = await anna_of_many.notification_socket(last_seq=2)
    await too_far_too.event("reset")
    assert [] == too_far_too.seqs


async def test_repeated_reconnects_neither_lose_nor_repeat_notifications(any_clients: Clients) -> None:
    anna, *others = await any_clients.users(4)
    post = await anna.create_post()
    whole = await anna.stream()

    # The writers are let on bit by bit, so that there is something left to write however slow the reader is.
    turns = asyncio.Semaphore(0)

    async def write(person: User) -> None:
        for _ in range(40):
            await turns.acquire()
            await person.comment(post)

    writing = asyncio.gather(*(write(other) for other in others))
    got: list[int] = []
    cuts = 0
    while len(got) < 120:
        for _ in range(15):
            turns.release()
        last = got[-1] if got else 0
        stream = await (anna.stream(last_event_id=last) if cuts % 2 else anna.stream(last_event_id_in_url=last))
        for _ in range(min(7, 120 - len(got))):
            await stream.notification()
        await stream.disconnect()
        got += stream.seqs
        cuts += 1
    await writing
    assert list(range(1, 121)) == got
    assert cuts >= 8
    for _ in range(120):
        await whole.notification()
    assert list(range(1, 121)) == whole.seqs


async def test_a_reconnect_with_a_used_ticket_gets_401(clients: Clients) -> None:
    anna = await clients.user()
    ticket = await anna.ticket()
    stream: Stream = await clients.stream(query={"ticket": ticket})
    await stream.event("hello")
    with pytest.raises(Refused) as refused:
        await clients.stream(query={"ticket": ticket}, headers={"Last-Event-ID": "1"})
    problem(refused.value.response, 401, "token_invalid")
    await (await clients.stream(query={"ticket": await anna.ticket(), "last_event_id": "0"})).event("hello")


async def test_every_chunk_ends_between_two_events(clients: Clients) -> None:
    """A proxy that pauses cannot split an event."""
    anna, ben = await clients.users(2)
    post = await anna.create_post()
    url = f"{clients.server.url}/api/v1/notifications/stream"
    body = b""
    async with clients.http.stream("GET", url, params={"token": anna.token}) as response:
        chunks = response.aiter_raw()
        while b"event: hello" not in body:
            body += await anext(chunks)
        for seq in range(1, 6):
            await ben.comment(post)
            while b"id: %d\n" % seq not in body:
                body += await anext(chunks)
            assert body.endswith(b"\n\n")
