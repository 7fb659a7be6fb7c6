"""`/ws/notifications`: the events of the stream as text frames."""

import asyncio

import pytest

from tests.protocol.clients import Clients, User, is_time
from tests.protocol.test_notifications import check
from tests.protocol.test_stream import notified


async def test_hello_has_the_unread_count_and_the_last_seq(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    await notified(anna, ben, 2)
    socket = await anna.notification_socket()
    assert {"type", "seq", "unread_count", "heartbeat_interval", "token_expires_at"} == set(socket.hello)
    assert (2, 2) == (socket.hello["seq"], socket.hello["unread_count"])
    assert is_time(socket.hello["token_expires_at"])
    assert "hello" == socket.received[0]["type"]


async def test_the_token_is_accepted_in_the_header_in_the_url_and_as_a_ticket(clients: Clients) -> None:
    anna = await clients.user()
    for options in (
        {"headers": anna.bearer},
        {"query": {"token": anna.token}},
        {"query": {"ticket": await anna.ticket()}},
    ):
        await (await clients.socket("/ws/notifications", "notification_socket", **options)).event("hello")


async def test_it_carries_the_same_notifications_and_counts_as_the_stream(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    stream, socket, post = await anna.stream(), await anna.notification_socket(), await anna.create_post()
    comment = await ben.comment(post)
    notification = await socket.notification()
    check(notification, "NEW_COMMENT", 1, ben, comment)
    assert notification == await stream.notification()
    await anna.put("/notifications/read", {"up_to_seq": 1})
    zero = {"type": "unread_count", "unread_count": 0, "seq": 1}
    assert zero == await socket.event("unread_count", lambda event: event["unread_count"] == 0)
    data = {"unread_count": 0, "seq": 1}
    await stream.event("unread_count", lambda event: event["data"] == data)


async def test_last_seq_replays_later_notifications_once_before_live_ones(clients: Clients) -> None:
    """Without it there are only live ones."""
    anna, ben = await clients.users(2)
    post = await notified(anna, ben, 5)
    sockets = {last: await anna.notification_socket(last_seq=last) for last in (0, 3, 5)}
    live = await anna.notification_socket()
    await ben.comment(post)
    for last, socket in sockets.items():
        assert list(range(last + 1, 7)) == [(await socket.notification())["seq"] for _ in range(last, 6)]
    assert 6 == (await live.notification())["seq"]


@pytest.mark.parametrize("last", ["9", "-1", "99999999999999999999", "abc"])
async def test_an_unknown_seq_gets_reset_and_the_socket_goes_live(clients: Clients, last: str) -> None:
    anna, ben = await clients.users(2)
    post = await notified(anna, ben, 1)
    socket = await anna.notification_socket(last_seq=last)
    assert {"type", "reason"} == set(await socket.event("reset"))
    await ben.comment(post)
    assert 2 == (await socket.notification())["seq"]


async def test_repeated_reconnects_neither_lose_nor_repeat_notifications(any_clients: Clients) -> None:
    anna, *others = await any_clients.users(3)
    post = await anna.create_post()

    async def write(person: User) -> None:
        for _ in range(30):
            await person.comment(post)

    writing = asyncio.gather(*(write(other) for other in others))
    got: list[int] = []
    while len(got) < 60:
        socket = await anna.notification_socket(last_seq=got[-1] if got else 0)
        for _ in range(min(9, 60 - len(got))):
            await socket.notification()
        socket.websocket.transport.abort()
        await socket.closed()
        got += socket.seqs
    await writing
    assert list(range(1, 61)) == got


async def test_it_accepts_pings_and_answers_other_frames_with_an_error(clients: Clients) -> None:
    anna = await clients.user()
    socket = await anna.notification_socket()
    await socket.send("ping", ref="p")
    assert "p" == (await socket.event("pong"))["ref"]
    await socket.expect_error("validation_failed", "send_message", content="x")
    await socket.send_raw("{")
    assert "malformed_json" == (await socket.event("error"))["code"]
    await socket.flush()


@pytest.mark.parametrize(("text", "code"), [(b'{"x": "\xff"}', 1007), (b" " * 65537, 1009)])
async def test_invalid_utf8_and_oversized_frames_close_it(clients: Clients, text: bytes, code: int) -> None:
    anna = await clients.user()
    socket = await anna.notification_socket()
    await socket.send_raw(text)
    assert code == (await socket.closed())[0]


async def test_a_binary_frame_closes_with_1003(clients: Clients) -> None:
    anna = await clients.user()
    socket = await anna.notification_socket()
    await socket.websocket.send(b"x")
    assert 1003 == (await socket.closed())[0]
