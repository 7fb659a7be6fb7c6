"""What is delivered in one turn of the loop: in its order, in one write, whoever else is told something."""

import asyncio
from contextlib import AsyncExitStack

import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from service.realtime.event import Event, Policy
from service.realtime.event_batch import MAX_BYTES, EventBatch
from service.realtime.registry import Registry
from service.realtime.websocket import WebSocket
from tests.realtime.wire import Peer, queued, running_registry, web_socket, wired

USERS = ["ada", "bob", "cay"]
GROUPS = [["ada", "bob"], ["ada", "bob", "cay"], ["cay"], None]
MANY = 40


class Counting:
    """A transport that keeps count of the writes to it."""

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
    """Count what `socket` writes from now on."""
    assert socket.transport
    counting = Counting(socket.transport)
    socket.transport = counting  # type: ignore[assignment]
    socket.direct_transport = counting if socket.direct_transport else None  # type: ignore[assignment]
    return counting


def count_of(unread: int) -> Event:
    return Event("unread_count", {"n": unread}, channel="chat", policy=Policy.LATEST, key="unread_count")


async def texts(peer: Peer, count: int) -> list[int]:
    return [ujson.loads(await peer.text())["n"] for _ in range(count)]


Doing = tuple[str, int, int]
"""Something done in a turn: what, to which group or user, and bytes of padding."""

doings = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, len(GROUPS) - 1), st.sampled_from([0, 0, 300, 40_000])),
    st.tuples(st.just("pass"), st.integers(0, len(GROUPS) - 1), st.just(0)),
    st.tuples(st.just("send"), st.integers(0, len(USERS) - 1), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(turns=st.lists(st.lists(doings, max_size=6), max_size=6))
def test_everyone_has_their_own_in_order_and_in_one_write_a_turn(turns: list[list[Doing]]) -> None:
    """However deliveries to groups, events that may be dropped, and answers to one connection follow each other."""
    asyncio.run(_play(turns))


async def _play(turns: list[list[Doing]]) -> None:
    async with running_registry() as registry, AsyncExitStack() as stack:
        sockets = [await _opened(registry, user) for user in USERS]
        peers = [await stack.enter_async_context(wired(socket)) for socket in sockets]
        counters = [count(socket) for socket in sockets]
        number = 0
        for turn in turns:
            expected: dict[str, list[int]] = {user: [] for user in USERS}
            before = [counter.writes for counter in counters]
            for what, which, size in turn:
                number += 1
                if what == "send":
                    sockets[which].send(Event("answer", {"n": number}, channel="chat"))
                    told = [USERS[which]]
                else:
                    policy = Policy.DURABLE if what == "deliver" else Policy.EPHEMERAL
                    registry.fan_out.deliver(GROUPS[which], event(number, size, policy))
                    told = GROUPS[which] or USERS
                for user in told:
                    expected[user].append(number)
            await asyncio.sleep(0)
            for user, peer, counter, writes in zip(USERS, peers, counters, before, strict=True):
                assert counter.writes - writes == (1 if expected[user] else 0)
                assert await texts(peer, len(expected[user])) == expected[user]


async def _opened(registry: Registry, user: str) -> WebSocket:
    socket = web_socket(registry, user)
    with registry.registration(socket):
        socket.go_live([])
    return socket


async def test_what_many_are_told_in_one_turn_is_joined_once(registry: Registry) -> None:
    """The same bytes for all of them: nothing is put together for each."""
    async with AsyncExitStack() as stack:
        written: list[list[bytes]] = []
        for user in USERS:
            socket = await _opened(registry, user)
            await stack.enter_async_context(wired(socket))
            written.append([])
            counting = count(socket)
            counting.write = written[-1].append  # type: ignore[method-assign]
        for number in range(1, MANY + 1):
            registry.fan_out.deliver(USERS, event(number))
        await asyncio.sleep(0)
        assert [len(each) for each in written] == [1] * len(USERS)
        assert len({id(each[0]) for each in written}) == 1


async def test_what_was_delivered_before_is_for_who_was_there(registry: Registry) -> None:
    """Not for who comes in the same turn; and who leaves in it still has it."""
    leaving, coming = await _opened(registry, "ada"), web_socket(registry)
    async with wired(leaving) as peer:
        registry.fan_out.deliver(["ada"], event(1))
        registry.register(coming)
        registry.fan_out.deliver(["ada"], event(2))
        leaving.close(1000, "bye")
        assert await texts(peer, 2) == [1, 2]
        assert [each.sequence for each in queued(coming)] == [2]


async def test_who_comes_too_late_is_not_written_to_straight(registry: Registry) -> None:
    """A connection that has had the numbers up to 5 as its past has the 6 next, in whichever turn the others come."""
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


async def test_a_reader_that_has_stopped_is_not_written_to_straight(registry: Registry) -> None:
    """What comes waits in its queue, where it is bounded, and follows in order."""
    socket = await _opened(registry, "ada")
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


async def test_of_what_replaces_itself_the_latest_is_told(registry: Registry) -> None:
    """Whether it is written straight or waits in a queue: in the place of the first, with the rest in order."""
    ready, asked = await _opened(registry, "ada"), web_socket(registry, "ada")
    with registry.registration(asked):
        asked.go_live([], event_filter=Asking())
    async with wired(ready) as peer, wired(asked) as other:
        counters = [count(ready), count(asked)]
        for said in (event(11), count_of(1), event(12), count_of(2)):
            registry.fan_out.deliver(["ada"], said)
        await asyncio.sleep(0)
        assert await texts(peer, 3) == await texts(other, 3) == [11, 2, 12]
        assert [counter.writes for counter in counters] == [1, 1]


class Asking:
    """Leaves out the events without a number that tell of more than 5 unread."""

    filters_sequenced = False

    def rejects(self, event: Event) -> bool:
        assert not event.sequence
        return bool(ujson.loads(event.body)["n"] > 5)


async def test_who_picks_is_asked_about_each_event_without_a_number(registry: Registry) -> None:
    """And about no other, while none of those is left out."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([], event_filter=Asking())
    async with wired(socket) as peer:
        for number, said in enumerate((count_of(6), count_of(5), count_of(7)), 1):
            registry.fan_out.deliver(["ada"], said)
            registry.fan_out.deliver(["ada"], event(10 * number))
            await asyncio.sleep(0)
        assert await texts(peer, 4) == [10, 5, 20, 30]


def test_a_burst_takes_what_is_for_the_same_connections_while_there_is_room() -> None:
    """Otherwise the next one begins."""
    batch = EventBatch(["ada"], event(1))
    assert batch.try_add(["ada"], event(2))
    assert not batch.try_add(["bob"], event(3))
    assert not batch.try_add(None, event(3))
    assert not batch.try_add(["ada"], Event("new", {}, channel="notifications", sequence=3))
    assert not batch.try_add(["ada"], event(3, MAX_BYTES))
    assert batch.all_sequenced
    assert batch.try_add(["ada"], count_of(3))
    assert not batch.all_sequenced
    assert [each.sequence for each in batch.events] == [1, 2, 0]
