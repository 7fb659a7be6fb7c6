"""The queue of a connection, against a plain model of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from service.realtime.connection_queue import EPHEMERAL_SHARE, ConnectionQueue
from service.realtime.event import Event, Policy

MAX_EVENTS = 10
MAX_BYTES = 100


def event(policy: Policy, key: str = "", size: int = 5) -> tuple[Event, bytes]:
    return Event("x", {}, channel="chat", policy=policy, key=key), b"." * size


policies = st.sampled_from(list(Policy))
puts = st.tuples(policies, st.sampled_from(["a", "b"]), st.integers(1, 40))


@settings(deadline=None)
@given(st.lists(puts, max_size=60))
def test_bounds_hold_and_durable_events_stay_in_order(items: list[tuple[Policy, str, int]]) -> None:
    """Whatever comes, no bound is passed, nothing durable is lost without a word, and order is kept."""
    queue = ConnectionQueue(MAX_EVENTS, MAX_BYTES)
    durable: list[Event] = []
    for policy, key, size in items:
        put, data = event(policy, key, size)
        taken = queue.put(put, data)
        if policy is Policy.DURABLE and taken:
            durable.append(put)
        assert taken or policy is Policy.DURABLE
        assert len(queue) <= MAX_EVENTS
        assert queue.size <= MAX_BYTES
    assert [waiting for waiting in queue.events() if waiting.policy is Policy.DURABLE] == durable
    size = queue.size
    assert len(queue.take()) == size
    assert (len(queue), queue.size) == (0, 0)


def test_a_durable_event_takes_the_room_of_ephemeral_ones() -> None:
    """They go first."""
    queue = ConnectionQueue(MAX_EVENTS, MAX_BYTES)
    for _ in range(MAX_EVENTS):
        queue.put(*event(Policy.EPHEMERAL))
    assert len(queue) == MAX_EVENTS * EPHEMERAL_SHARE
    for _ in range(MAX_EVENTS):
        assert queue.put(*event(Policy.DURABLE))
    assert all(waiting.policy is Policy.DURABLE for waiting in queue.events())
    assert not queue.put(*event(Policy.DURABLE))


def test_the_latest_of_a_key_takes_the_place_of_the_one_before() -> None:
    """A slow reader is told once that someone is typing, and the newest count."""
    queue = ConnectionQueue(MAX_EVENTS, MAX_BYTES)
    first, _ = event(Policy.LATEST, "typing:ada")
    other, _ = event(Policy.LATEST, "typing:bob")
    last, _ = event(Policy.LATEST, "typing:ada")
    queue.put(first, b"first")
    queue.put(other, b"other")
    queue.put(last, b"the last")
    assert queue.take() == b"the lastother"
    queue.put(first, b"first")
    assert queue.take() == b"first"


@settings(deadline=None)
@given(st.lists(st.tuples(policies, st.sampled_from("ab"), st.sampled_from("tu"), st.integers(1, 20)), max_size=40))
def test_a_topic_that_is_dropped_leaves_the_others_as_if_it_had_never_been(
    items: list[tuple[Policy, str, str, int]],
) -> None:
    """Their order, the account of bytes, and which is the latest of its key."""
    queue, without = ConnectionQueue(), ConnectionQueue()
    events = [
        (Event("x", {}, channel="chat", policy=policy, key=f"{topic}:{key}", topic=topic), b"." * size)
        for policy, key, topic, size in items
    ]
    for event, data in events:
        queue.put(event, data)
        if event.topic != "t":
            without.put(event, data)
    queue.discard_topic("t")
    for event, data in events:
        if event.topic != "t":
            queue.put(event, data)
            without.put(event, data)
    assert without.events() == queue.events()
    assert (len(without), without.size) == (len(queue), queue.size)
