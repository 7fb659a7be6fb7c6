"""Batches of events for the same recipients."""

from service.realtime.event import Event, Policy
from service.realtime.event_batch import MAX_BYTES, EventBatch


def event(sequence: int, size: int = 0, channel: str = "chat") -> Event:
    return Event("new", {"pad": "." * size}, channel=channel, topic="t", sequence=sequence)


def unread_count(unread: int) -> Event:
    return Event("unread_count", {"n": unread}, channel="chat", policy=Policy.LATEST, key="unread_count")


def test_a_batch_accepts_events_for_the_same_connections_while_there_is_room() -> None:
    """Not for other recipients or another channel, nor beyond MAX_BYTES."""
    batch = EventBatch(["ada"], event(1))
    assert batch.try_add(["ada"], event(2))
    assert not batch.try_add(["bob"], event(3))
    assert not batch.try_add(None, event(3))
    assert not batch.try_add(["ada"], event(3, channel="notifications"))
    assert not batch.try_add(["ada"], event(3, MAX_BYTES))
    assert [1, 2] == [each.sequence for each in batch.events]


def test_a_batch_has_the_lowest_sequence_number_and_whether_all_events_have_one() -> None:
    """A late event may follow one with a higher number."""
    batch = EventBatch(["ada"], event(5))
    batch.try_add(["ada"], event(3))
    assert (3, True) == (batch.min_sequence, batch.all_sequenced)
    batch.try_add(["ada"], unread_count(1))
    assert (3, False) == (batch.min_sequence, batch.all_sequenced)


def test_an_event_replaces_the_one_with_the_same_key() -> None:
    """At the position of the first one."""
    batch = EventBatch(["ada"], unread_count(1))
    batch.try_add(["ada"], event(1))
    latest = unread_count(2)
    batch.try_add(["ada"], latest)
    assert latest is batch.events[0]
    assert 2 == len(batch.events)
