"""The notification socket: the events of the stream as frames, and replies to client frames."""

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.notifications.api_user import ApiUser, Socket
from tests.rest import RestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_socket_carries_the_events_of_the_stream(author: ApiUser, reader: ApiUser) -> None:
    """The hello, the notification, and the unread count."""
    post = await author.post()
    async with author.socket() as socket:
        hello = await socket.next()
        assert ("hello", 0, 0, 25) == tuple(
            hello[name] for name in ("type", "seq", "unread_count", "heartbeat_interval")
        )
        await reader.comment(post, "Hello there")
        frame = await socket.next()
        assert ("NEW_COMMENT", 1, "Hello there") == (frame["type"], frame["seq"], frame["data"]["preview"])
        assert {"type": "unread_count", "unread_count": 1, "seq": 1} == await socket.next()


async def test_a_socket_resumes_after_its_last_seq(author: ApiUser, reader: ApiUser) -> None:
    """Missed notifications come first; an unknown number is a reset."""
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


async def test_every_frame_is_answered_and_the_socket_stays_open(author: ApiUser, reader: ApiUser) -> None:
    """Pings, fresh tokens and invalid frames."""
    async with author.socket() as socket:
        hello = await socket.next()
        assert {"type": "pong", "ref": "a"} == await socket.ask(type="ping", ref="a")
        fresh = await author.call("post", "/auth/refresh", 200, json={"refresh_token": author.refresh_token})
        reply = await socket.ask(type="authenticate", token=fresh["access_token"], ref="b")
        assert ("ack", "b") == (reply["type"], reply["ref"])
        assert reply["data"]["token_expires_at"] >= hello["token_expires_at"]
        for frame, code in (
            ({"type": "authenticate", "token": reader.token, "ref": "c"}, "token_invalid"),
            ({"type": "authenticate", "token": "nonsense", "ref": "c"}, "token_invalid"),
            ({"type": "authenticate", "ref": "c"}, "validation_failed"),
            ({"type": "send_message", "ref": "c"}, "validation_failed"),
            ({"ref": "c"}, "validation_failed"),
        ):
            reply = await socket.ask(**frame)
            assert ("error", "c", code) == (reply["type"], reply["ref"], reply["code"])
        for text, code in (("{", "malformed_json"), ("[]", "validation_failed"), ('"ping"', "validation_failed")):
            await socket.connection.send(text)
            reply = await socket.next()
            assert ("error", None, code) == (reply["type"], reply["ref"], reply["code"])
        assert "pong" == (await socket.ask(type="ping"))["type"]


async def test_concurrent_authentications_are_all_answered(author: ApiUser) -> None:
    """Including those that arrive while another token is being checked."""
    async with author.socket() as socket:
        await socket.next()
        sends = [socket.connection.send(f'{{"type":"authenticate","token":"{author.token}"}}') for _ in range(5)]
        await asyncio.gather(*sends)
        kinds = [(await socket.next())["type"] for _ in range(5)]
        assert kinds.count("ack") >= 1
        assert {"ack", "error"} >= set(kinds)


async def closed_with(socket: Socket) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        await socket.next()
    assert caught.value.rcvd
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_bad_credentials_close_the_socket_with_a_reason(author: ApiUser) -> None:
    """Scripts in browsers cannot read the response to a failed upgrade, but they can read a close frame."""
    async with author.socket(token="nonsense") as socket:
        assert (1008, "token_invalid") == await closed_with(socket)
    async with author.socket(token="") as socket:
        assert (1008, "token_missing") == await closed_with(socket)


async def test_signing_out_closes_the_socket(author: ApiUser) -> None:
    async with author.socket() as socket:
        await socket.next()
        await author.call("post", "/auth/logout", 204)
        assert (1008, "token_revoked") == await closed_with(socket)


async def test_a_plain_get_request_is_answered_426(author: ApiUser) -> None:
    await author.call("get", "/ws/notifications", 426)


async def test_a_foreign_origin_is_refused(client: RestClient, author: ApiUser) -> None:
    """403 instead of the upgrade, even with a valid token."""
    from websockets.asyncio.client import connect

    url = client.url(f"/api/v1/ws/notifications?token={author.token}", "ws")
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, origin="https://evil.example")  # type: ignore[arg-type]
    assert 403 == caught.value.response.status_code
