"""The notification socket: the same events, as frames, and answers to what the client says."""

import asyncio

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.notifications.api_user import ApiUser, Socket
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def author(client: RestClient) -> ApiUser:
    return await ApiUser.register(client, "Author")


@pytest_asyncio.fixture(loop_scope="module")
async def reader(client: RestClient) -> ApiUser:
    return await ApiUser.register(client, "Reader")


async def test_socket_carries_what_the_stream_carries(author: ApiUser, reader: ApiUser) -> None:
    """Hello, the notification as it is, the count of the unread."""
    post = await author.post()
    async with author.socket() as socket:
        hello = await socket.next()
        assert ("hello", 0, 0, 25) == tuple(
            hello[name] for name in ("type", "seq", "unread_count", "heartbeat_interval")
        )
        await reader.comment(post, "Hello there")
        told = await socket.next()
        assert ("NEW_COMMENT", 1, "Hello there") == (told["type"], told["seq"], told["data"]["preview"])
        assert {"type": "unread_count", "unread_count": 1, "seq": 1} == await socket.next()


async def test_socket_resumes_after_the_last_seq(author: ApiUser, reader: ApiUser) -> None:
    """What came since comes first; an unknown number is a reset."""
    post = await author.post()
    async with author.socket() as socket:
        for _ in range(3):
            await reader.comment(post)
        while (await socket.next()).get("seq") != 3:
            pass
    async with author.socket(last_seq="1") as socket:
        assert ["hello", 2, 3] == [(await socket.next())["type"], *[(await socket.next())["seq"] for _ in range(2)]]
    async with author.socket(last_seq="four") as socket:
        await socket.next()
        assert {"type": "reset", "reason": "unknown_id"} == await socket.next()


async def test_socket_answers_each_frame_and_stays_open(author: ApiUser, reader: ApiUser) -> None:
    """Ping, a fresh token, and all kinds of mistakes."""
    async with author.socket() as socket:
        hello = await socket.next()
        assert {"type": "pong", "ref": "a"} == await socket.ask(type="ping", ref="a")
        fresh = await author.call("post", "/auth/refresh", 200, json={"refresh_token": author.refresh_token})
        answer = await socket.ask(type="authenticate", token=fresh["access_token"], ref="b")
        assert ("ack", "b") == (answer["type"], answer["ref"])
        assert answer["data"]["token_expires_at"] >= hello["token_expires_at"]
        for frame, code in (
            ({"type": "authenticate", "token": reader.token, "ref": "c"}, "token_invalid"),
            ({"type": "authenticate", "token": "nonsense", "ref": "c"}, "token_invalid"),
            ({"type": "authenticate", "ref": "c"}, "validation_failed"),
            ({"type": "send_message", "ref": "c"}, "validation_failed"),
            ({"ref": "c"}, "validation_failed"),
        ):
            answer = await socket.ask(**frame)
            assert ("error", "c", code) == (answer["type"], answer["ref"], answer["code"])
        for text, code in (("{", "malformed_json"), ("[]", "validation_failed"), ('"ping"', "validation_failed")):
            await socket.connection.send(text)
            answer = await socket.next()
            assert ("error", None, code) == (answer["type"], answer["ref"], answer["code"])
        assert "pong" == (await socket.ask(type="ping"))["type"]


async def test_tokens_are_taken_one_at_a_time(author: ApiUser) -> None:
    """Every frame is answered, also those that come faster than a token can be checked."""
    async with author.socket() as socket:
        await socket.next()
        answers = [socket.connection.send(f'{{"type":"authenticate","token":"{author.token}"}}') for _ in range(5)]
        await asyncio.gather(*answers)
        kinds = [(await socket.next())["type"] for _ in range(5)]
        assert kinds.count("ack") >= 1
        assert {"ack", "error"} >= set(kinds)


async def closed_with(socket: Socket) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        await socket.next()
    assert caught.value.rcvd
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_bad_credentials_close_the_socket_with_a_reason(author: ApiUser) -> None:
    """A browser's script cannot read the answer to a failed upgrade, but it can read a close frame."""
    async with author.socket(token="nonsense") as socket:
        assert (1008, "token_invalid") == await closed_with(socket)
    async with author.socket(token="") as socket:
        assert (1008, "token_missing") == await closed_with(socket)


async def test_signing_out_closes_the_socket(author: ApiUser) -> None:
    """A revoked session's socket does not go on."""
    async with author.socket() as socket:
        await socket.next()
        await author.call("post", "/auth/logout", 204)
        assert (1008, "token_revoked") == await closed_with(socket)


async def test_request_that_is_no_upgrade_is_told_so(author: ApiUser) -> None:
    """Plain GET: 426."""
    await author.call("get", "/ws/notifications", 426)


async def test_foreign_page_is_refused(client: RestClient, author: ApiUser) -> None:
    """A page of another origin gets no socket: 403 before the upgrade."""
    from websockets.asyncio.client import connect

    url = client.url(f"/api/v1/ws/notifications?token={author.token}", "ws")
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, origin="https://evil.example")  # type: ignore[arg-type]
    assert 403 == caught.value.response.status_code
