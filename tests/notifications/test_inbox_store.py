"""The read state, compared with a plain set of numbers."""

import asyncio
from collections.abc import Sequence

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.common.ids import new_id
from service.datastores.mongo import Mongo
from service.notifications import inbox_store as inboxes
from service.notifications.inbox_store import Inbox, InboxStore
from service.notifications.number_set import NumberSet

LAST = 12

Step = tuple[str, int] | tuple[str, set[int]]
marks: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.sampled_from(["one", "up_to"]), st.integers(1, LAST)),
    st.tuples(st.just("several"), st.sets(st.integers(1, LAST), max_size=5)),
)


async def apply(store: InboxStore, user: str, steps: Sequence[Step]) -> set[int]:
    """Apply `steps`, and return the numbers that are then read."""
    read: set[int] = set()
    for kind, seq in steps:
        if not isinstance(seq, int):
            await store.mark_read(user, NumberSet.of(seq))
            read |= seq
        elif kind == "one":
            await store.mark_read(user, NumberSet.of([seq]))
            read.add(seq)
        else:
            await store.mark_read_up_to(user, seq)
            read |= set(range(1, seq + 1))
    return read


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(marks, max_size=15), before=st.integers(1, LAST + 3), limit=st.integers(1, LAST))
async def test_the_inbox_agrees_with_a_set_of_numbers(mongo: Mongo, steps: list[Step], before: int, limit: int) -> None:
    """Read state, unread count and unread numbers, after any sequence of marks."""
    store, user = InboxStore(mongo.database), new_id()
    await store.raise_last_seqs({ObjectId(user): LAST})
    read = await apply(store, user, steps)
    inbox = await store.inbox(user)
    everything = set(range(1, LAST + 1))
    assert read == {seq for seq in everything if inbox.has_read(seq)}
    assert len(everything - read) == inbox.unread
    unread = sorted((seq for seq in everything - read if seq < before), reverse=True)
    assert unread[:limit] == inbox.newest_unread(before, limit)
    assert all(inbox.read_up_to + 1 < seq <= LAST for seq in inbox.read_above)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(marks, min_size=2, max_size=12))
async def test_concurrent_marks_all_count(mongo: Mongo, steps: list[Step]) -> None:
    store, user = InboxStore(mongo.database), new_id()
    await store.raise_last_seqs({ObjectId(user): LAST})
    read = set().union(*await asyncio.gather(*[apply(store, user, [step]) for step in steps]))
    inbox = await store.inbox(user)
    assert read == {seq for seq in range(1, LAST + 1) if inbox.has_read(seq)}
    assert LAST - len(read) == inbox.unread


async def test_a_mark_creates_a_missing_inbox(mongo: Mongo) -> None:
    """The stored last number may be missing because a process crashed before it wrote it."""
    store, user = InboxStore(mongo.database), new_id()
    assert Inbox(0, 0, NumberSet()) == await store.inbox(user)
    assert Inbox(3, 0, NumberSet.of({3})) == await store.mark_read(user, NumberSet.of([3]))
    assert Inbox(3, 1, NumberSet.of({3})) == await store.mark_read_up_to(user, 1)
    assert Inbox(3, 3, NumberSet()) == await store.mark_read(user, NumberSet.of([2]))


async def test_too_many_single_marks_drop_the_oldest_gaps(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of single marks, the oldest unread notifications count as read."""
    monkeypatch.setattr(inboxes, "MAX_SPAN", 8)
    store, user = InboxStore(mongo.database), new_id()
    for seq in (4, 6, 8):
        inbox = await store.mark_read(user, NumberSet.of([seq]))
    assert Inbox(8, 0, NumberSet.of({4, 6, 8})) == inbox
    assert Inbox(10, 2, NumberSet.of({4, 6, 8, 10})) == await store.mark_read(user, NumberSet.of([10]))
    assert Inbox(10, 2, NumberSet.of({4, 6, 8, 10})) == await store.mark_read(user, NumberSet.of([2]))


async def test_seq_and_the_number_of_read_notifications_never_decrease(mongo: Mongo) -> None:
    """So a client can keep the larger of each if two states arrive out of order."""
    store, user = InboxStore(mongo.database), new_id()
    states = [await store.inbox(user)]
    for kind, seq in (("last", 5), ("one", 4), ("one", 2), ("last", 9), ("up_to", 3), ("one", 5), ("up_to", 9)):
        if kind == "last":
            await store.raise_last_seqs({ObjectId(user): seq})
        elif kind == "one":
            await store.mark_read(user, NumberSet.of([seq]))
        else:
            await store.mark_read_up_to(user, seq)
        states.append(await store.inbox(user))
    assert sorted(state.last_seq for state in states) == [state.last_seq for state in states]
    read = [state.last_seq - state.unread for state in states]
    assert sorted(read) == read
    assert 0 == states[-1].unread


async def test_marks_of_an_earlier_version_count(mongo: Mongo) -> None:
    """Also those that one of its processes adds while this one marks."""
    store, user = InboxStore(mongo.database), new_id()
    inboxes = mongo.database["inboxes"]
    await inboxes.insert_one({"_id": ObjectId(user), "last_seq": 9, "read_up_to": 1, "read_above": [3, 5]})
    assert Inbox(9, 1, NumberSet.of({3, 5})) == await store.inbox(user)
    assert Inbox(9, 3, NumberSet.of({5})) == await store.mark_read(user, NumberSet.of([2]))
    await inboxes.update_one({"_id": ObjectId(user)}, {"$addToSet": {"read_above": 7}})
    assert Inbox(9, 3, NumberSet.of({5, 7, 8})) == await store.mark_read(user, NumberSet.of([8]))
    assert Inbox(9, 3, NumberSet.of({5, 7, 8})) == await store.inbox(user)
