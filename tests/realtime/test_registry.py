"""The registry, compared with a plain model."""

import asyncio
from typing import Any

import pytest
import ujson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from websockets.frames import Opcode

from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.realtime.wire import identity, web_socket, wired

USERS = ["ada", "bob", "cay"]
CHANNELS = ["chat", "notifications"]
SESSIONS = ["phone", "laptop"]


class RegistryMachine(RuleBasedStateMachine):
    """Registers and closes connections and delivers events, in any order. No connection is live: events stay queued."""

    connections = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(TimerWheel())
        self.runner = asyncio.Runner()
        self.changes: list[str] = []
        self.registry.on_user_presence_change(self.changes.append)
        self.live: set[EventStream] = set()
        self.expected: dict[EventStream, list[Event]] = {}
        self.closed: list[EventStream] = []

    @rule(
        target=connections,
        user=st.sampled_from(USERS),
        channel=st.sampled_from(CHANNELS),
        session=st.sampled_from(SESSIONS),
    )
    def register(self, user: str, channel: str, session: str) -> EventStream:
        stream = EventStream(self.registry, identity(user, f"{user}'s {session}"), channel)
        was_online = self.registry.has_user(user)
        before = len(self.changes)
        with self.registry.registration(stream):
            self.live.add(stream)
        self.expected[stream] = []
        stream.on_close(lambda: self.closed.append(stream))
        assert len(self.changes) == before + (not was_online)
        return stream

    @rule(stream=connections)
    def close(self, stream: EventStream) -> None:
        others = {other.user_id for other in self.live - {stream}}
        before = len(self.changes)
        was_live = stream in self.live
        stream.close(1000, "bye")
        self.live.discard(stream)
        assert len(self.changes) == before + (was_live and stream.user_id not in others)

    @rule(
        users=st.none() | st.lists(st.sampled_from([*USERS, "nobody"]), unique=True), channel=st.sampled_from(CHANNELS)
    )
    def deliver(self, users: list[str] | None, channel: str) -> None:
        event = Event("x", {}, channel=channel)
        recipients = {s for s in self.live if s.channel == channel and (users is None or s.user_id in users)}
        self.runner.run(self.deliver_and_flush(users, event))
        for stream in recipients:
            self.expected[stream].append(event)

    async def deliver_and_flush(self, users: list[str] | None, event: Event) -> None:
        self.registry.fan_out.deliver(users, event)
        await asyncio.sleep(0)

    def teardown(self) -> None:
        self.runner.close()

    @rule(stream=connections, session=st.sampled_from(SESSIONS))
    def refresh_token(self, stream: EventStream, session: str) -> None:
        stream.refresh_token(identity(stream.user_id, f"{stream.user_id}'s {session}"))

    @rule(user=st.sampled_from(USERS), sessions=st.sets(st.sampled_from(SESSIONS)))
    def disconnect_sessions(self, user: str, sessions: set[str]) -> None:
        session_ids = {f"{user}'s {session}" for session in sessions}
        matching = {stream for stream in self.live if stream.session_id in session_ids}
        assert self.registry.disconnect_sessions(session_ids, 1008, "token_revoked") == len(matching)
        self.live -= matching

    @invariant()
    def agrees(self) -> None:
        assert set(self.registry) == self.live
        assert len(self.registry) == len(self.live)
        assert set(self.registry.user_ids()) == {stream.user_id for stream in self.live}
        for channel in CHANNELS:
            assert self.registry.count(channel) == sum(stream.channel == channel for stream in self.live)

    @invariant()
    def each_has_its_events_in_order_and_closed_once(self) -> None:
        for stream in self.live:
            assert stream.queue.events() == self.expected[stream]
        assert len(self.closed) == len(set(self.closed))


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def test_wait_until_empty_waits_for_registered_and_for_closing_connections(registry: Registry) -> None:
    """For one without a transport until it is unregistered; for one with a transport until that has ended."""
    buffering, socket = web_socket(registry), web_socket(registry)
    registry.register(buffering)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        waiting = asyncio.create_task(registry.wait_until_empty(5))
        await asyncio.sleep(0)
        socket.close(1012, "restart")
        registry.unregister(buffering)
        assert await peer.close_frame() == (1012, "restart")
        assert not waiting.done()
        registry.register(buffering)
        peer.writer.close()
        while socket.transport:
            await asyncio.sleep(0.01)
        assert not waiting.done()
        registry.unregister(buffering)
        assert await waiting == 0


class ExaminedStream(EventStream):
    """Records that one of its attributes is read."""

    examined: set[EventStream] | None = None

    def __getattribute__(self, name: str) -> Any:
        if ExaminedStream.examined is not None:
            ExaminedStream.examined.add(self)
        return super().__getattribute__(name)


async def test_only_the_connections_of_revoked_sessions_are_examined(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 sign-outs, each of one connection out of 10,000."""
    streams = [ExaminedStream(registry, identity(f"{n % 500}", f"{n}"), "notifications") for n in range(10_000)]
    for stream in streams:
        registry.register(stream)
    examined: set[EventStream] = set()
    monkeypatch.setattr(ExaminedStream, "examined", examined)
    for number in range(0, 10_000, 100):
        assert 1 == registry.disconnect_sessions([f"{number}"], 1008, "token_revoked")
        # On the other processes, nobody has it.
        assert 0 == registry.disconnect_sessions([f"{number}"], 1008, "token_revoked")
    monkeypatch.undo()
    assert {stream for stream in streams if stream.closing} == examined
    assert 100 == len(examined)


async def test_disconnect_sessions_discards_queued_events(registry: Registry) -> None:
    """Only the close frame is written."""
    socket = web_socket(registry)
    with registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        registry.fan_out.deliver(["ada"], Event("new", {}, channel="chat"))
        assert 1 == registry.disconnect_sessions(["session"], 1008, "token_revoked")
        frame = await peer.frame()
        assert (Opcode.CLOSE, 1008) == (frame.opcode, int.from_bytes(frame.data[:2]))


async def test_events_delivered_because_a_connection_overflowed_arrive(registry: Registry) -> None:
    """In the same iteration, after the events delivered before."""
    slow, other = web_socket(registry), web_socket(registry, "bob")
    registry.register(slow)
    with registry.registration(other):
        other.go_live([])
    slow.on_close(lambda: registry.fan_out.deliver(["bob"], Event("gone", {}, channel="chat")))
    async with wired(other) as peer:
        for number in range(1, slow.queue.max_events + 2):
            registry.fan_out.deliver(["ada"], Event("new", {}, channel="chat", sequence=number))
        registry.fan_out.deliver(["bob"], Event("before", {}, channel="chat"))
        assert [ujson.loads(await peer.text())["type"] for _ in range(2)] == ["before", "gone"]
        assert slow.closing
