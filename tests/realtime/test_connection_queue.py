"""The queue of a connection, compared with a plain model."""

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
def test_the_queue_stays_bounded_and_keeps_durable_events_in_order(items: list[tuple[Policy, str, int]]) -> None:
    """No bound is exceeded, `put` reports each durable event that does not fit, and the order is kept."""
    queue = ConnectionQueue(MAX_EVENTS, MAX_BYTES)
    durable: list[Event] = []
    for policy, key, size in items:
        put, data = event(policy, key, size)
        accepted = queue.put(put, data)
        if policy is Policy.DURABLE and accepted:
            durable.append(put)
        assert accepted or policy is Policy.DURABLE
        assert len(queue) <= MAX_EVENTS
        assert queue.size <= MAX_BYTES
    assert [queued for queued in queue.events() if queued.policy is Policy.DURABLE] == durable
    size = queue.size
    assert len(queue.take()) == size
    assert (len(queue), queue.size) == (0, 0)


def test_a_durable_event_displaces_ephemeral_ones() -> None:
    """If the queue is full, ephemeral events are dropped first."""
    queue = ConnectionQueue(MAX_EVENTS, MAX_BYTES)
    for _ in range(MAX_EVENTS):
        queue.put(*event(Policy.EPHEMERAL))
    assert len(queue) == MAX_EVENTS * EPHEMERAL_SHARE
    for _ in range(MAX_EVENTS):
        assert queue.put(*event(Policy.DURABLE))
    assert all(queued.policy is Policy.DURABLE for queued in queue.events())
    assert not queue.put(*event(Policy.DURABLE))


def test_the_latest_event_of_a_key_replaces_the_queued_one() -> None:
    """A slow reader gets one event for each key, the newest, at the position of the first."""
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
def test_discarding_a_topic_leaves_the_queue_as_if_it_never_had_its_events(
    items: list[tuple[Policy, str, str, int]],
) -> None:
    """The order of the others, the size, and the index of the latest event of each key."""
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


def test_an_empty_queue_takes_an_event_of_any_size() -> None:
    """What is stored can be delivered; behind it, the bounds hold."""
    queue = ConnectionQueue(MAX_EVENTS, MAX_BYTES)
    queue.put(*event(Policy.EPHEMERAL))
    assert queue.put(*event(Policy.DURABLE, size=MAX_BYTES * 3))
    assert len(queue) == 1
    assert not queue.put(*event(Policy.DURABLE))
    queue.put(*event(Policy.EPHEMERAL))
    assert len(queue.take()) == MAX_BYTES * 3
    assert queue.put(*event(Policy.DURABLE))
    assert not queue.put(*event(Policy.DURABLE, size=MAX_BYTES))
