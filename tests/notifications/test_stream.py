"""The notification stream, as an EventSource receives it."""

import asyncio

import httpx
import pytest

from service.notifications import service
from tests.notifications.api_user import ApiUser, EventSource, ServerSentEvent
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def next_notification(stream: EventSource) -> ServerSentEvent:
    """Return the next notification, skipping unread counts."""
    while (event := await stream.next()).name == "unread_count":
        pass
    assert "message" == event.name
    return event


async def wait_for_unread_count(author: ApiUser, count: int) -> None:
    async with asyncio.timeout(10):
        while count != (await author.call("get", "/notifications/unread_count", 200))["unread_count"]:
            await asyncio.sleep(0.02)


async def test_a_stream_begins_with_a_hello_and_continues_live(author: ApiUser, reader: ApiUser) -> None:
    """Its response headers disable caching and buffering."""
    post = await author.post()
    async with author.stream() as stream:
        assert 200 == stream.response.status_code
        assert "text/event-stream" == stream.response.headers["content-type"]
        assert "no-cache, no-transform" == stream.response.headers["cache-control"]
        assert "no" == stream.response.headers["x-accel-buffering"]
        hello = await stream.next()
        assert ("0", "hello") == (hello.id, hello.name)
        assert (0, 0, 20) == tuple(hello.data[name] for name in ("seq", "unread_count", "heartbeat_interval"))
        assert hello.data["token_expires_at"].endswith("Z")
        assert 3000 == stream.retry
        comment = await reader.comment(post, "Hello there")
        event = await stream.next()
        assert ("1", "message", "NEW_COMMENT", 1) == (event.id, event.name, event.data["type"], event.data["seq"])
        assert (comment["id"], "Hello there") == (event.data["data"]["comment_id"], event.data["data"]["preview"])
        assert ServerSentEvent(None, "unread_count", {"unread_count": 1, "seq": 1}) == await stream.next()
        await author.call("put", "/notifications/read", 200, json={"up_to_seq": 1})
        assert ServerSentEvent(None, "unread_count", {"unread_count": 0, "seq": 1}) == await stream.next()


@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_stream_resumes_after_its_last_event_id(author: ApiUser, reader: ApiUser, way: str) -> None:
    """Missed notifications come first, in order, then live ones, none twice. The header wins over the query."""
    post = await author.post()
    for _ in range(5):
        await reader.comment(post)
    await wait_for_unread_count(author, 5)
    query = {"last_event_id": "2"} if way == "query" else {"last_event_id": "5"}
    headers = {"Last-Event-ID": "2"} if way == "header" else {}
    async with author.stream(headers, **query) as stream:
        hello = await stream.next()
        assert (5, 5) == (hello.data["seq"], hello.data["unread_count"])
        for _ in range(2):
            await reader.comment(post)
        assert ["3", "4", "5", "6", "7"] == [(await next_notification(stream)).id for _ in range(5)]


async def test_a_stream_without_an_id_is_live_only(author: ApiUser, reader: ApiUser) -> None:
    """Earlier notifications are in the list, not on the stream."""
    post = await author.post()
    await reader.comment(post)
    await wait_for_unread_count(author, 1)
    async with author.stream() as stream:
        assert 1 == (await stream.next()).data["seq"]
        await reader.comment(post)
        assert "2" == (await next_notification(stream)).id


@pytest.mark.parametrize("id", ["x", "-1", "99", "9" * 40, "1.5", "٣"])
async def test_an_unknown_id_causes_a_reset(author: ApiUser, reader: ApiUser, id: str) -> None:
    """The client must fetch the list; the stream is live."""
    post = await author.post()
    async with author.stream(last_event_id=id) as stream:
        assert "hello" == (await stream.next()).name
        assert ServerSentEvent(None, "reset", {"reason": "unknown_id"}) == await stream.next()
        await reader.comment(post)
        assert "1" == (await stream.next()).id


async def test_too_many_missed_notifications_cause_a_reset(
    author: ApiUser, reader: ApiUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the limit they are replayed."""
    monkeypatch.setattr(service, "MAX_REPLAY", 3)
    post = await author.post()
    for _ in range(4):
        await reader.comment(post)
    await wait_for_unread_count(author, 4)
    async with author.stream(last_event_id="0") as stream:
        await stream.next()
        assert ServerSentEvent(None, "reset", {"reason": "too_far_behind"}) == await stream.next()
        await reader.comment(post)
        # The unread count of earlier notifications may still arrive.
        while (event := await stream.next()).name == "unread_count":
            pass
        assert "5" == event.id
    async with author.stream(last_event_id="2") as stream:
        await stream.next()
        assert ["3", "4", "5"] == [(await stream.next()).id for _ in range(3)]


async def test_reconnecting_streams_receive_every_notification_once(author: ApiUser, reader: ApiUser) -> None:
    """Streams reconnect again and again during a series of notifications."""
    post = await author.post()
    total = 40

    async def comment_repeatedly() -> None:
        for _ in range(total):
            await reader.comment(post)

    async def follow() -> list[int]:
        seen = [0]
        while seen[-1] < total:
            async with author.stream(last_event_id=str(seen[-1])) as stream:
                assert "hello" == (await stream.next()).name
                for _ in range(7):
                    seen.append(int((await next_notification(stream)).id or 0))
                    if seen[-1] == total:
                        break
        return seen

    followed, *_ = await asyncio.gather(asyncio.gather(*[follow() for _ in range(3)]), comment_repeatedly())
    assert [list(range(total + 1))] * 3 == followed


async def test_bad_credentials_are_answered_401(client: RestClient, author: ApiUser) -> None:
    """A browser's EventSource gives up on it, and the client opens a new one with a new ticket."""
    async with author.stream(token="nonsense") as stream:
        assert 401 == stream.response.status_code
        await stream.response.aread()
        assert "token_invalid" == stream.response.json()["code"]
    ticket = (await author.call("post", "/auth/ticket", 200))["ticket"]
    url = client.url("/api/v1/notifications/stream")
    async with httpx.AsyncClient() as http:
        async with http.stream("GET", url, params={"ticket": ticket}) as response:
            assert 200 == response.status_code
        async with http.stream("GET", url, params={"ticket": ticket}) as response:
            assert 401 == response.status_code


async def test_a_foreign_origin_is_refused(author: ApiUser) -> None:
    """Even with a valid token."""
    async with author.stream({"Origin": "https://evil.example"}) as stream:
        assert 403 == stream.response.status_code


async def test_signing_out_ends_the_stream(author: ApiUser) -> None:
    async with author.stream() as stream:
        await stream.next()
        await author.call("post", "/auth/logout", 204)
        with pytest.raises(StopAsyncIteration):
            await stream.next()


async def test_unread_counts_are_coalesced_and_notifications_are_not(author: ApiUser, reader: ApiUser) -> None:
    """At most one count in a quarter of a second, and the last one in the end."""
    post = await author.post()
    async with author.stream() as stream:
        assert "hello" == (await stream.next()).name
        started = asyncio.get_running_loop().time()
        comments = asyncio.gather(*[reader.comment(post) for _ in range(40)])
        seqs, counts = [], []
        while not counts or counts[-1] != 40:
            event = await stream.next()
            if event.name == "message":
                seqs.append(event.data["seq"])
            else:
                counts.append(event.data["unread_count"])
        await comments
        elapsed = asyncio.get_running_loop().time() - started
    assert list(range(1, 41)) == seqs
    assert sorted(counts) == counts
    assert len(counts) <= elapsed / 0.25 + 1
