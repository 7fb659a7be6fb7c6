"""Fan-out: each connection gets the events of one iteration of the event loop in order and in one write."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common import tasks
from service.realtime.event import Event, Policy
from service.realtime.registry import Registry
from service.realtime.websocket import WebSocket
from tests.realtime.wire import Peer, queued, running_registry, web_socket, wired

USERS = ["ada", "bob", "cay"]
GROUPS = [["ada", "bob"], ["ada", "bob", "cay"], ["cay"], None]
MANY = 40


class Counting:
    """A transport that counts the writes to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.writes = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.transport.write(data)


def event(number: int, size: int = 0, policy: Policy = Policy.DURABLE) -> Event:
    return Event("new", {"n": number, "pad": "." * size}, channel="chat", policy=policy, topic="t", sequence=number)


def count(socket: WebSocket) -> Counting:
    """Count the writes of `socket` from now on."""
    assert socket.transport
    counting = Counting(socket.transport)
    socket.transport = counting  # type: ignore[assignment]
    socket.direct_transport = counting if socket.direct_transport else None  # type: ignore[assignment]
    return counting


def unread_count(unread: int) -> Event:
    return Event("unread_count", {"n": unread}, channel="chat", policy=Policy.LATEST, key="unread_count")


async def texts(peer: Peer, count: int) -> list[int]:
    return [ujson.loads(await peer.text())["n"] for _ in range(count)]


Action = tuple[str, int, int]
"""One action in an iteration: its kind, the index of the group or user, and the bytes of padding."""

actions = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, len(GROUPS) - 1), st.sampled_from([0, 0, 300, 40_000])),
    st.tuples(st.just("deliver ephemeral"), st.integers(0, len(GROUPS) - 1), st.just(0)),
    st.tuples(st.just("send"), st.integers(0, len(USERS) - 1), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(iterations=st.lists(st.lists(actions, max_size=6), max_size=6))
def test_each_connection_gets_its_events_in_order_and_in_one_write_per_iteration(
    iterations: list[list[Action]],
) -> None:
    """For any sequence of deliveries to groups, ephemeral events and answers to one connection."""
    asyncio.run(_run(iterations))


async def _run(iterations: list[list[Action]]) -> None:
    async with running_registry() as registry, AsyncExitStack() as stack:
        sockets = [await _live_socket(registry, user) for user in USERS]
        peers = [await stack.enter_async_context(wired(socket)) for socket in sockets]
        counters = [count(socket) for socket in sockets]
        number = 0
        for iteration in iterations:
            expected: dict[str, list[int]] = {user: [] for user in USERS}
            before = [counter.writes for counter in counters]
            for kind, index, size in iteration:
                number += 1
                if kind == "send":
                    sockets[index].send(Event("answer", {"n": number}, channel="chat"))
                    recipients = [USERS[index]]
                else:
                    policy = Policy.DURABLE if kind == "deliver" else Policy.EPHEMERAL
                    registry.fan_out.deliver(GROUPS[index], event(number, size, policy))
                    recipients = GROUPS[index] or USERS
                for user in recipients:
                    expected[user].append(number)
            await asyncio.sleep(0)
            for user, peer, counter, writes in zip(USERS, peers, counters, before, strict=True):
                assert counter.writes - writes == (1 if expected[user] else 0)
                assert await texts(peer, len(expected[user])) == expected[user]


async def _live_socket(registry: Registry, user: str) -> WebSocket:
    socket = web_socket(registry, user)
    with registry.registration(socket):
        socket.go_live([])
    return socket


async def test_the_batch_of_an_iteration_is_joined_once_for_all_connections(registry: Registry) -> None:
    """All connections write the same bytes object."""
    async with AsyncExitStack() as stack:
        written: list[list[bytes]] = []
        for user in USERS:
            socket = await _live_socket(registry, user)
            await stack.enter_async_context(wired(socket))
            written.append([])
            counting = count(socket)
            counting.write = written[-1].append  # type: ignore[method-assign]
        for number in range(1, MANY + 1):
            registry.fan_out.deliver(USERS, event(number))
        await asyncio.sleep(0)
        assert [len(each) for each in written] == [1] * len(USERS)
        assert len({id(each[0]) for each in written}) == 1


async def test_registering_and_closing_split_the_events_of_an_iteration(registry: Registry) -> None:
    """A new connection gets only later events; a closing connection still gets all earlier ones."""
    closing, joining = await _live_socket(registry, "ada"), web_socket(registry)
    async with wired(closing) as peer:
        registry.fan_out.deliver(["ada"], event(1))
        registry.register(joining)
        registry.fan_out.deliver(["ada"], event(2))
        closing.close(1000, "bye")
        assert await texts(peer, 2) == [1, 2]
        assert [each.sequence for each in queued(joining)] == [2]


async def test_replayed_events_are_not_written_directly(registry: Registry) -> None:
    """A connection that replayed events up to 5 gets 6 next, in whichever iterations the earlier ones arrive."""
    late = web_socket(registry)
    with registry.registration(late):
        late.go_live([event(5)], replayed_up_to=5)
    async with wired(late) as peer:
        for number in (4, 5, 6, 3, 7):
            registry.fan_out.deliver(["ada"], event(number))
            await asyncio.sleep(0)
        for numbers in ((5, 8), (9, 5)):
            for number in numbers:
                registry.fan_out.deliver(["ada"], event(number))
            await asyncio.sleep(0)
        registry.fan_out.deliver(["ada"], event(10))
        assert await texts(peer, 6) == [5, 6, 7, 8, 9, 10]


async def test_nothing_is_written_directly_to_a_reader_that_has_stopped(registry: Registry) -> None:
    """Events wait in the bounded queue, and follow in order."""
    socket = await _live_socket(registry, "ada")
    async with wired(socket, receive_buffer=4096) as peer:
        number = 0
        while socket.direct_transport:
            number += 1
            registry.fan_out.deliver(["ada"], event(number, 16_000))
            await asyncio.sleep(0)
        counting = count(socket)
        for _ in range(3):
            number += 1
            registry.fan_out.deliver(["ada"], event(number))
            await asyncio.sleep(0)
        assert (counting.writes, len(socket.queue)) == (0, 3)
        assert await texts(peer, number) == list(range(1, number + 1))
        registry.fan_out.deliver(["ada"], event(number + 1))
        assert await texts(peer, 1) == [number + 1]


async def test_only_the_latest_event_of_a_key_is_written(registry: Registry) -> None:
    """At the position of the first one, whether written directly or queued."""
    direct, filtering = await _live_socket(registry, "ada"), web_socket(registry, "ada")
    with registry.registration(filtering):
        filtering.go_live([], event_filter=UnreadFilter())
    async with wired(direct) as peer, wired(filtering) as other:
        counters = [count(direct), count(filtering)]
        for delivered in (event(11), unread_count(1), event(12), unread_count(2)):
            registry.fan_out.deliver(["ada"], delivered)
        await asyncio.sleep(0)
        assert await texts(peer, 3) == await texts(other, 3) == [11, 2, 12]
        assert [counter.writes for counter in counters] == [1, 1]


class UnreadFilter:
    """Rejects events without a sequence number whose count is above 5."""

    filters_sequenced = False

    def rejects(self, event: Event) -> bool:
        assert not event.sequence
        return bool(ujson.loads(event.body)["n"] > 5)


async def test_the_filter_is_called_for_each_event_without_a_sequence_number(registry: Registry) -> None:
    """And for no other event while `filters_sequenced` is False."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([], event_filter=UnreadFilter())
    async with wired(socket) as peer:
        for number, delivered in enumerate((unread_count(6), unread_count(5), unread_count(7)), 1):
            registry.fan_out.deliver(["ada"], delivered)
            registry.fan_out.deliver(["ada"], event(10 * number))
            await asyncio.sleep(0)
        assert await texts(peer, 4) == [10, 5, 20, 30]


@pytest.fixture
def failures() -> Iterator[list[str]]:
    """The background failures counted during the test."""
    failures: list[str] = []
    tasks.on_failure(failures.append)
    yield failures
    tasks.remove_on_failure(failures.append)


class Broken:
    """A transport on which every write of events fails, until the connection is closed."""

    def __init__(self, socket: WebSocket) -> None:
        assert socket.transport
        self.transport = socket.transport
        self.socket = socket

    def __getattr__(self, name: str) -> object:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        if not self.socket.closing:
            raise RuntimeError
        self.transport.write(data)


def break_transport(socket: WebSocket) -> None:
    broken = Broken(socket)
    socket.transport = broken  # type: ignore[assignment]
    socket.direct_transport = broken if socket.direct_transport else None  # type: ignore[assignment]


@pytest.mark.parametrize("queued_path", [False, True], ids=["direct", "queued"])
async def test_a_connection_that_fails_is_closed_and_affects_no_other(
    registry: Registry, failures: list[str], queued_path: bool
) -> None:
    """All others of the iteration get the event. The client of the failed one reconnects and fetches it."""
    async with AsyncExitStack() as stack:
        sockets = [await _live_socket(registry, user) for user in USERS]
        peers = [await stack.enter_async_context(wired(socket)) for socket in sockets]
        break_transport(sockets[1])
        registry.fan_out.deliver(USERS, event(1))
        if queued_path:
            registry.fan_out.deliver(USERS[:2], event(2))
        for peer in (peers[0], peers[2]):
            assert await texts(peer, 1) == [1]
        assert (1011, "internal_error") == await peers[1].close_frame()
        assert ["fan_out"] == failures
        registry.fan_out.deliver(USERS, event(3))
        assert await texts(peers[2], 1) == [3]


async def test_an_event_that_cannot_be_encoded_does_not_stop_the_events_of_others(
    registry: Registry, failures: list[str]
) -> None:
    """Its recipients are disconnected; a second batch of the same iteration still arrives."""
    async with AsyncExitStack() as stack:
        sockets = [await _live_socket(registry, user) for user in USERS]
        peers = [await stack.enter_async_context(wired(socket)) for socket in sockets]
        unencodable = Event("\ud800", {}, channel="chat")
        registry.fan_out.deliver(USERS[:2], unencodable)
        registry.fan_out.deliver(USERS[2:], event(1))
        assert await texts(peers[2], 1) == [1]
        for peer in peers[:2]:
            assert (1011, "internal_error") == await peer.close_frame()
        assert ["fan_out"] == failures


async def test_a_callback_that_fails_when_a_connection_closes_stops_neither_the_others_nor_the_close(
    registry: Registry, failures: list[str]
) -> None:
    """The remaining callbacks run, and the close frame is written."""

    def fail() -> None:
        raise RuntimeError

    called: list[str] = []
    socket = await _live_socket(registry, "ada")
    async with wired(socket) as peer:
        socket.on_close(fail)
        socket.on_close(lambda: called.append("second"))
        socket.close(1008, "token_revoked")
        assert (1008, "token_revoked") == await peer.close_frame()
    assert (["second"], ["on_close"]) == (called, failures)
