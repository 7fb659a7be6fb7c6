"""WebSockets and event streams: their common behaviour, on real TCP sockets."""

import asyncio
import socket as sockets
import time

import pytest
import ujson
from websockets.frames import Opcode

from service.realtime.connection import EXPIRY_NOTICE, IDLE_TIMEOUT
from service.realtime.event import Event, Policy
from service.realtime.event_stream import HEARTBEAT_INTERVAL
from service.realtime.registry import Registry
from service.realtime.websocket import PING_INTERVAL
from tests.realtime.wire import event_stream, identity, queued, web_socket, wired


def event(number: int, policy: Policy = Policy.DURABLE, size: int = 0, channel: str = "chat") -> Event:
    return Event("new", {"n": number, "pad": "." * size}, channel=channel, policy=policy, topic="t", sequence=number)


def number(text: str) -> int:
    return int(ujson.loads(text)["n"])


async def test_events_delivered_while_buffering_follow_the_replay_without_repetition(registry: Registry) -> None:
    """First the events passed to `go_live`, then the buffered ones above `replayed_up_to`, then new ones."""
    socket = web_socket(registry)
    with registry.registration(socket):
        registry.fan_out.deliver(["ada"], event(2))
        registry.fan_out.deliver(["ada"], event(3))
        socket.go_live([event(1), event(2)], replayed_up_to=2)
    async with wired(socket) as peer:
        registry.fan_out.deliver(["ada"], event(4))
        assert [number(await peer.text()) for _ in range(4)] == [1, 2, 3, 4]


async def test_a_connection_whose_replay_fails_is_unregistered(registry: Registry) -> None:
    socket = web_socket(registry)
    with pytest.raises(RuntimeError), registry.registration(socket):
        raise RuntimeError
    assert (len(registry), registry.user_ids()) == (0, [])


async def test_heartbeats_and_timeouts_fit_together(registry: Registry) -> None:
    """A stream whose peer acknowledges nothing ends within IDLE_TIMEOUT. Two heartbeats fit into a router's timeout."""
    stream = event_stream(registry)
    with registry.registration(stream):
        stream.go_live([])
    async with wired(stream):
        assert stream.transport
        sock = stream.transport.get_extra_info("socket")
        user_timeout = sock.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT) / 1000
        assert 0 < HEARTBEAT_INTERVAL + 1 + user_timeout <= IDLE_TIMEOUT
    assert 2 * max(HEARTBEAT_INTERVAL, PING_INTERVAL) < 55


async def test_events_of_one_iteration_are_written_at_once(registry: Registry) -> None:
    """Fifty events are one write, and no task is created."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        assert socket.transport
        writes: list[bytes] = []
        write = socket.transport.write

        class Counting:
            def __getattr__(self, name: str) -> object:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                writes.append(data)
                write(data)

        transport = socket.transport
        socket.transport = socket.direct_transport = Counting()  # type: ignore[assignment]
        tasks = len(asyncio.all_tasks())
        for n in range(50):
            registry.fan_out.deliver(["ada"], event(n + 1))
        assert len(asyncio.all_tasks()) == tasks
        assert [number(await peer.text()) for _ in range(50)] == list(range(1, 51))
        assert len(writes) == 1


async def test_the_first_events_are_written_with_the_handshake(registry: Registry) -> None:
    """A connection that opens costs one write, and the client one packet."""
    writes: list[bytes] = []

    class Recording(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            writes.append(bytes(data))

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            pass

    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([event(1), event(2)])
    socket.connection_made(Recording())
    await asyncio.sleep(0)
    (written,) = writes
    head, _, frames = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert event(1).ws_frame + event(2).ws_frame == frames
    socket.connection_lost(None)


async def test_a_reader_that_stops_is_closed_with_slow_consumer_and_delays_no_other(registry: Registry) -> None:
    """Its queue stays bounded, and the other connection gets every event meanwhile."""
    slow, good = web_socket(registry), web_socket(registry)
    for socket in (slow, good):
        with registry.registration(socket):
            socket.go_live([])
    async with wired(slow, receive_buffer=4096) as slow_peer, wired(good) as good_peer:
        for n in range(400):
            registry.fan_out.deliver(["ada"], event(n + 1, size=8000))
            assert number(await good_peer.text()) == n + 1
            assert slow.queue.size <= slow.queue.max_bytes
        assert slow.closing
        assert not good.closing
        assert registry.connections("ada") == {good}
        # The close frame follows what the kernel and the transport had buffered.
        assert await slow_peer.close_frame() == (1013, "slow_consumer")


async def test_a_reader_of_a_flood_gets_a_reset_instead_of_a_close(registry: Registry) -> None:
    """If the client fetches what it missed, events with a number beyond its queue are dropped, others are not. The
    reset follows what was dropped and precedes the next event."""
    socket, resets = web_socket(registry), []
    registry.on_queue_overflow(lambda connection, limit: resets.append(limit))
    socket.resyncs_after_overflow = True
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        for n in range(300):
            registry.fan_out.deliver(["ada"], event(n + 1, size=8000))
        registry.fan_out.deliver(["ada"], Event("kept", {"n": 1000}, channel="chat", topic="t"))
        received = [ujson.loads(await peer.text())]
        while received[-1]["type"] != "reset":
            received.append(ujson.loads(await peer.text()))
        assert [("kept", 1000)] == [(event["type"], event.get("n")) for event in received[:-1]]
        assert ({"reason": "slow_consumer"}, ["bytes"]) == (received[-1]["data"], resets)
        for n in (301, 302):
            registry.fan_out.deliver(["ada"], event(n))
            assert n == number(await peer.text())
        assert not socket.closing


async def test_a_client_that_does_not_read_after_an_overflow_is_closed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given a few seconds to catch up, and its queue is empty meanwhile."""
    monkeypatch.setattr("service.realtime.connection.OVERFLOW_TIMEOUT", 0.5)
    socket = web_socket(registry)
    socket.resyncs_after_overflow = True
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket, receive_buffer=4096) as peer:
        n = 0
        while not socket.overflowed:
            n += 1
            registry.fan_out.deliver(["ada"], event(n, size=8000))
            await asyncio.sleep(0)
        registry.fan_out.deliver(["ada"], event(n + 1, size=8000))
        assert ([], False) == (queued(socket), socket.closing)
        closed = asyncio.Event()
        socket.on_close(closed.set)
        await asyncio.wait_for(closed.wait(), 10)
        assert await peer.close_frame() == (1013, "slow_consumer")


async def test_ephemeral_events_are_dropped_for_a_slow_reader_which_stays_connected(registry: Registry) -> None:
    """The durable event that follows still arrives."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket, receive_buffer=4096) as peer:
        for n in range(300):
            registry.fan_out.deliver(["ada"], event(n + 1, Policy.EPHEMERAL, size=8000))
            await asyncio.sleep(0)
        registry.fan_out.deliver(["ada"], event(1000))
        numbers = [number(await peer.text())]
        while numbers[-1] != 1000:
            numbers.append(number(await peer.text()))
        assert len(numbers) < 300
        assert numbers == sorted(numbers)
        assert socket.queue.dropped
        assert not socket.closing


async def test_wait_until_written_paces_an_answer_longer_than_the_queue(registry: Registry) -> None:
    """It waits until the client has read what was sent before."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket, receive_buffer=4096) as peer:

        async def answer() -> None:
            for n in range(60):
                await socket.wait_until_written()
                socket.send(event(n + 1, size=60_000))

        task = asyncio.create_task(answer())
        assert [number(await peer.text()) for _ in range(60)] == list(range(1, 61))
        await task
        assert not socket.closing


async def test_token_expiry_is_announced_and_closes_the_socket(registry: Registry) -> None:
    """The token expires in one second, which is less than EXPIRY_NOTICE: the announcement comes at once."""
    socket = web_socket(registry, seconds=1)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        assert ujson.loads(await peer.text())["type"] == "token_expiring"
        assert await peer.close_frame() == (1008, "token_expired")


async def test_a_refreshed_token_keeps_the_connection(registry: Registry) -> None:
    """Events still arrive after the first token has expired."""
    socket = web_socket(registry, seconds=1)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        assert ujson.loads(await peer.text())["type"] == "token_expiring"
        first_expiry = socket.expires_at
        socket.refresh_token(identity(seconds=100))
        while time.time() < first_expiry + 1.5:
            await asyncio.wait_for(_tick(registry), 5)
        registry.fan_out.deliver(["ada"], event(1))
        assert number(await peer.text()) == 1


async def _tick(registry: Registry) -> None:
    """Wait until the timer wheel has run once more."""
    ticked = asyncio.Event()

    class Once:
        next_tick = 0

        def tick(self, now: float) -> float:
            ticked.set()
            return now + 1000

    once = Once()
    registry.timers.schedule(asyncio.get_running_loop().time(), once)
    await ticked.wait()
    registry.timers.cancel(once)


async def test_draining_announces_when_to_reconnect_and_closes(registry: Registry) -> None:
    """The socket closes with 1012; the stream sends `retry` and ends."""
    socket, stream = web_socket(registry), event_stream(registry)
    for connection in (socket, stream):
        with registry.registration(connection):
            connection.go_live([])
    async with wired(socket) as socket_peer, wired(stream) as stream_peer:
        socket.drain(1234)
        stream.drain(4321)
        assert ujson.loads(await socket_peer.text()) == {"type": "draining", "data": {"reconnect_after_ms": 1234}}
        assert await socket_peer.close_frame() == (1012, "restart")
        received = await asyncio.wait_for(stream_peer.reader.read(), 5)
        assert received.endswith(b'retry: 4321\nevent: draining\ndata: {"reconnect_after_ms":4321}\n\n\r\n0\r\n\r\n')
        assert len(registry) == 0


async def test_a_connection_reset_by_its_peer_is_unregistered(registry: Registry) -> None:
    socket = web_socket(registry)
    closed = asyncio.Event()
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        socket.on_close(closed.set)
        peer.writer.transport.abort()
        await asyncio.wait_for(closed.wait(), 5)
        assert not registry.has_user("ada")
        assert await registry.wait_until_empty(5) == 0


async def test_a_second_close_does_nothing(registry: Registry) -> None:
    """The first reason counts, and each callback runs once."""
    socket = web_socket(registry)
    calls: list[int] = []
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        socket.on_close(lambda: calls.append(1))
        socket.close(1008, "token_revoked")
        socket.close(1013, "slow_consumer")
        socket.on_close(lambda: calls.append(2))
        assert await peer.close_frame() == (1008, "token_revoked")
        assert calls == [1, 2]


async def test_an_overflow_during_close_determines_the_reason(registry: Registry) -> None:
    """`close` first queues pending events. If they do not fit, the connection closes for that reason, once."""
    socket = web_socket(registry)
    reasons: list[str] = []
    registry.on_connection_closed(lambda _, reason: reasons.append(reason))
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        for n in range(socket.queue.max_events + 1):
            registry.fan_out.deliver(["ada"], event(n + 1))
        socket.close(1012, "restart")
        assert await peer.close_frame() == (1013, "slow_consumer")
        assert reasons == ["slow_consumer"]


async def test_an_overflow_during_go_live_discards_the_replay(registry: Registry) -> None:
    """The client reconnects anyway, and gets the replay then."""
    socket = web_socket(registry)
    with registry.registration(socket):
        for n in range(socket.queue.max_events + 1):
            registry.fan_out.deliver(["ada"], event(n + 1))
        socket.go_live([event(0)])
    async with wired(socket) as peer:
        assert (await peer.frame()).opcode is Opcode.CLOSE
        assert peer.closed_with() == (1013, "slow_consumer")


async def test_a_connection_closed_before_it_has_a_transport_closes_as_soon_as_it_has_one(
    registry: Registry,
) -> None:
    """This is how a script in a browser can read why it was refused."""
    socket = web_socket(registry)
    socket.close(1008, "token_invalid")
    async with wired(socket) as peer:
        assert await peer.close_frame() == (1008, "token_invalid")


async def test_a_peer_that_does_not_answer_the_close_is_disconnected(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has CLOSE_TIMEOUT to answer."""
    monkeypatch.setattr("service.realtime.connection.CLOSE_TIMEOUT", 0.5)
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        socket.close(1008, "token_revoked")
        await peer.eof()
        assert await registry.wait_until_empty(5) == 0


async def test_a_client_that_does_not_read_when_its_token_expires_soon_is_disconnected(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue has no room for the announcement. It has CLOSE_TIMEOUT, and not until the next heartbeat."""
    monkeypatch.setattr("service.realtime.connection.CLOSE_TIMEOUT", 0.5)
    socket = web_socket(registry, seconds=EXPIRY_NOTICE + 1)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket, receive_buffer=4096):
        n = 0
        while not queued(socket):
            n += 1
            registry.fan_out.deliver(["ada"], event(n, size=8000))
            await asyncio.sleep(0)
        socket.queue.max_events = len(socket.queue)
        assert await registry.wait_until_empty(6) == 0


async def test_a_stream_begins_with_its_headers(registry: Registry) -> None:
    stream = event_stream(registry)
    with registry.registration(stream):
        stream.go_live([Event("hello", {"seq": 0}, channel="notifications")])
    async with wired(stream) as peer:
        head = await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), 5)
        assert b"Content-Type: text/event-stream\r\n" in head
        assert b"Cache-Control: no-cache, no-transform\r\n" in head
        assert b"X-Accel-Buffering: no\r\n" in head
        assert b"Transfer-Encoding: chunked\r\n" in head
        assert await peer.reader.readuntil(b"\n\n") == b'1e\r\nevent: hello\ndata: {"seq":0}\n\n'
