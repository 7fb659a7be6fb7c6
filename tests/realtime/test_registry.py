"""The registry, against a plain model of it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from service.realtime.event import Event
from service.realtime.registry import Registry
from service.realtime.stream import EventStream
from service.realtime.ticker import Ticker
from tests.realtime.wire import identity

USERS = ["ada", "bob", "cay"]
FEEDS = ["chat", "notifications"]


class RegistryMachine(RuleBasedStateMachine):
    """Connections come, go and are delivered to, in any order; each is held, so that what it got can be looked at."""

    connections = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(Ticker())
        self.changes: list[str] = []
        self.registry.on_change(self.changes.append)
        self.live: set[EventStream] = set()
        self.got: dict[EventStream, list[Event]] = {}
        self.closed: list[EventStream] = []

    @rule(target=connections, user=st.sampled_from(USERS), feed=st.sampled_from(FEEDS))
    def join(self, user: str, feed: str) -> EventStream:
        stream = EventStream(self.registry, identity(user), feed)
        was_there = user in self.registry
        before = len(self.changes)
        with self.registry.joining(stream):
            self.live.add(stream)
        self.got[stream] = []
        stream.on_close(lambda: self.closed.append(stream))
        assert len(self.changes) == before + (not was_there)
        return stream

    @rule(stream=connections)
    def close(self, stream: EventStream) -> None:
        others = {other.user_id for other in self.live - {stream}}
        before = len(self.changes)
        was_live = stream in self.live
        stream.close(1000, "bye")
        self.live.discard(stream)
        assert len(self.changes) == before + (was_live and stream.user_id not in others)

    @rule(users=st.none() | st.lists(st.sampled_from([*USERS, "nobody"]), unique=True), feed=st.sampled_from(FEEDS))
    def deliver(self, users: list[str] | None, feed: str) -> None:
        event = Event("x", {}, feed=feed)
        reached = {s for s in self.live if s.feed == feed and (users is None or s.user_id in users)}
        assert self.registry.deliver(users, event) == len(reached)
        for stream in reached:
            self.got[stream].append(event)

    @rule(user=st.sampled_from(USERS))
    def close_everyone_of(self, user: str) -> None:
        gone = {stream for stream in self.live if stream.user_id == user}
        assert self.registry.close_where(lambda c: c.user_id == user, 1008, "token_revoked") == len(gone)
        self.live -= gone

    @invariant()
    def agrees(self) -> None:
        assert set(self.registry) == self.live
        assert len(self.registry) == len(self.live)
        assert set(self.registry.users()) == {stream.user_id for stream in self.live}
        for feed in FEEDS:
            assert self.registry.count(feed) == sum(stream.feed == feed for stream in self.live)

    @invariant()
    def each_got_its_own_in_order_and_closed_once(self) -> None:
        for stream in self.live:
            assert stream.queue.events() == self.got[stream]
        assert len(self.closed) == len(set(self.closed))


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
