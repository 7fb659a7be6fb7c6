"""Messages: sent, changed, read back and published; recovery after a crash."""

import asyncio
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import BulkWriteError

from service.chat import message_service as module
from service.chat.message_service import MAX_CATCH_UPS, SYNC_BYTES
from service.chat.message_store import TAIL
from service.chat.reactions import MAX_EMOJIS
from service.chat.writer_checkpoints import MARGIN
from service.common.encoding import dumps
from service.common.errors import Forbidden, NotFound, Unavailable, ValidationFailed
from service.common.times import now
from service.realtime.connection_queue import MAX_BYTES
from tests.chat.chat_process import (
    ADA,
    BOB,
    CAY,
    ChatProcess,
    kill_before_publishing,
    received,
    wait_for_events,
)


async def test_message_is_published_to_all_connections_of_all_participants(process: ChatProcess) -> None:
    """Including the sender's own, and to nobody else."""
    conversation = await process.conversation(ADA, BOB)
    listeners = [process.listen(user) for user in (ADA, ADA, BOB, BOB)]
    stranger = process.listen(CAY)
    message, new = await process.messages.send(ADA, conversation, "xin chào", "n1")
    assert new
    for listener in listeners:
        [event] = received(listener, "new_message")
        assert event == {"type": "new_message", "conversation_id": conversation, "data": message}
    assert received(stranger) == []


async def test_only_the_sender_edits_and_deletes(process: ChatProcess) -> None:
    """Other participants get Forbidden, all others NotFound."""
    conversation = await process.conversation(ADA, BOB)
    message = (await process.messages.send(ADA, conversation, "mine"))[0]["id"]
    with pytest.raises(Forbidden):
        await process.messages.edit(BOB, conversation, message, "yours")
    with pytest.raises(Forbidden):
        await process.messages.delete(BOB, conversation, message)
    for call in (
        process.messages.edit(CAY, conversation, message, "x"),
        process.messages.delete(CAY, conversation, message),
    ):
        with pytest.raises(NotFound):
            await call
    edited = await process.messages.edit(ADA, conversation, message, "mine, edited")
    assert (edited["content"], edited["seq"], edited["rev"]) == ("mine, edited", 1, 2)
    assert edited["edited_at"]


async def test_deleted_message_leaves_a_tombstone(process: ChatProcess) -> None:
    """Without content and reactions; deleting it again changes nothing, and it cannot be edited."""
    conversation = await process.conversation(ADA, BOB)
    message = (await process.messages.send(ADA, conversation, "gone soon"))[0]["id"]
    await process.messages.react(BOB, conversation, message, "👍", on=True)
    gone = await process.messages.delete(ADA, conversation, message)
    assert (gone["deleted"], gone["content"], gone["reactions"], gone["seq"], gone["rev"]) == (True, "", {}, 1, 3)
    assert await process.messages.delete(ADA, conversation, message) == gone
    with pytest.raises(Forbidden):
        await process.messages.edit(ADA, conversation, message, "back")
    with pytest.raises(Forbidden):
        await process.messages.react(BOB, conversation, message, "👍", on=True)
    assert (await process.messages.history(BOB, conversation, None, 10)).items == [gone]


async def test_reactions_are_idempotent_and_published(process: ChatProcess) -> None:
    """A call that changes nothing takes no rev and publishes no event."""
    conversation = await process.conversation(ADA, BOB)
    listener = process.listen(ADA)
    message = (await process.messages.send(ADA, conversation, "like me"))[0]["id"]
    for on in (True, True, False, False):
        changed = await process.messages.react(BOB, conversation, message, "👍", on=on)
    assert (changed["reactions"], changed["rev"]) == ({}, 3)
    events = received(listener, "message_updated")
    assert [event["data"]["reactions"] for event in events] == [{"👍": [BOB]}, {}]


async def test_number_of_different_reactions_is_bounded(process: ChatProcess) -> None:
    """One more emoji is refused, one more user of the same emoji is not."""
    conversation = await process.conversation(ADA, BOB)
    message = (await process.messages.send(ADA, conversation, "popular"))[0]["id"]
    emojis = [chr(0x1F600 + n) for n in range(MAX_EMOJIS + 1)]
    await asyncio.gather(*[process.messages.react(BOB, conversation, message, e, on=True) for e in emojis[:-1]])
    with pytest.raises(ValidationFailed):
        await process.messages.react(BOB, conversation, message, emojis[-1], on=True)
    assert (
        len((await process.messages.react(ADA, conversation, message, emojis[0], on=True))["reactions"]) == MAX_EMOJIS
    )


async def test_history_is_paged_by_seq(process: ChatProcess) -> None:
    """The newest page first, each ascending, without overlap or gap."""
    conversation = await process.conversation(ADA, BOB)
    await asyncio.gather(*[process.messages.submit(ADA, conversation, f"m{n}") for n in range(25)])
    page = await process.messages.history(BOB, conversation, None, 10)
    seqs = [[message["seq"] for message in page.items]]
    while page.next:
        page = await process.messages.history(BOB, conversation, page.next, 10)
        seqs.append([message["seq"] for message in page.items])
    assert seqs == [list(range(16, 26)), list(range(6, 16)), list(range(1, 6))]
    assert (await process.messages.history(BOB, conversation, 1, 10)).items == []
    assert len((await process.messages.history(BOB, conversation, 10**9, 10)).items) == 10
    with pytest.raises(NotFound):
        await process.messages.history(CAY, conversation, None, 10)


async def test_changes_are_paged_by_rev(process: ChatProcess) -> None:
    """Each message once, ascending by its last rev."""
    conversation = await process.conversation(ADA, BOB)
    ids = [(await process.messages.send(ADA, conversation, f"m{n}"))[0]["id"] for n in range(12)]
    for message in (ids[3], ids[0], ids[3]):
        await process.messages.edit(ADA, conversation, message, f"edited {message[-1]}{ObjectId()}")
    found, after = [], 0
    while True:
        page = await process.messages.changes(BOB, conversation, after, 5)
        found += [(message["id"], message["rev"]) for message in page.items]
        if page.next is None:
            break
        after = page.next
    assert [rev for _, rev in found] == sorted(rev for _, rev in found)
    assert {message for message, _ in found} == set(ids)
    assert len(found) == len(ids)
    assert [message for message, _ in found[-2:]] == [ids[0], ids[3]]
    assert (await process.messages.changes(BOB, conversation, 15, 5)).items == []


async def test_catch_up_is_limited_and_reports_whether_it_is_complete(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conversations of which the user is not a participant are left out."""
    monkeypatch.setattr("service.chat.message_service.SYNC_LIMIT", 3)
    mine, others = await process.conversation(ADA, BOB), await process.conversation(BOB, CAY)
    for n in range(5):
        await process.messages.send(ADA, mine, f"m{n}")
    readers = dict(await process.messages.catch_up(ADA, {mine: 0, others: 0}))
    assert list(readers) == [mine]
    catch_up = await readers[mine]()
    assert ([message["rev"] for message in catch_up.messages], catch_up.last_rev, catch_up.complete) == (
        [1, 2, 3],
        5,
        False,
    )
    catch_up = await dict(await process.messages.catch_up(ADA, {mine: 3}))[mine]()
    assert ([message["rev"] for message in catch_up.messages], catch_up.last_rev, catch_up.complete) == (
        [4, 5],
        5,
        True,
    )


async def test_unpublished_message_of_a_dead_process_is_published_by_the_next_to_start(
    start_process: Callable[..., ChatProcess],
) -> None:
    """It was killed between the write and the publishing; clients of other processes get the event."""
    dying, listening = start_process(), start_process()
    conversation = await dying.conversation(ADA, BOB)
    await dying.messages.send(ADA, conversation, "one")
    await dying.messages.flush_counters()
    listener = listening.listen(BOB)
    await listening.conversations.heads_for_hello(BOB)

    with pytest.raises(asyncio.CancelledError):
        await kill_before_publishing(dying).send(ADA, conversation, "two")
    assert received(listener, "new_message") == []
    # The next one shares the listening process's bus, as all processes of a deployment do.
    starting = start_process(listening.bus)
    await starting.messages.start()
    [event] = await wait_for_events(listener, "new_message")
    assert event["data"]["content"] == "two"
    assert (await starting.conversations.get(BOB, conversation))["last_seq"] == 2


async def test_lost_event_is_backfilled_in_order(start_process: Callable[..., ChatProcess]) -> None:
    """Two processes without a common bus: the gap before the next event shows what is missing."""
    here, there = start_process(), start_process()
    conversation = await here.conversation(ADA, BOB)
    listener = here.listen(BOB)
    await here.conversations.heads_for_hello(BOB)
    await here.messages.send(ADA, conversation, "one")
    two = (await there.messages.send(ADA, conversation, "two"))[0]["id"]
    await there.messages.send(ADA, conversation, "three")
    await there.messages.edit(ADA, conversation, two, "two, edited")
    await here.messages.send(ADA, conversation, "four")
    events = await wait_for_events(listener, "new_message", 4)
    assert [event["data"]["rev"] for event in events] == [1, 3, 4, 5]
    assert [event["data"]["content"] for event in events] == ["one", "three", "two, edited", "four"]


async def test_conversation_that_becomes_dirty_during_reconciliation_is_reconciled_again(process: ChatProcess) -> None:
    """A second write ends without a reply after the reconciler has read the tail."""
    conversation = await process.conversation(ADA, BOB)
    await process.messages.send(ADA, conversation, "one")
    listener = process.listen(BOB)
    await process.conversations.heads_for_hello(BOB)
    tail, write = process.message_store.tail, process.messages._append.write

    async def write_without_reply(*args: Any) -> Any:
        await write(*args)
        raise Unavailable

    async def slow_tail(*args: Any) -> Any:
        found = await tail(*args)
        process.message_store.tail = tail  # type: ignore[method-assign]
        process.messages._append.write = write_without_reply  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await process.messages.send(ADA, conversation, "two")
        return found

    process.message_store.tail = slow_tail  # type: ignore[method-assign]
    await process.messages.start()
    [event] = await wait_for_events(listener, "new_message")
    assert event["data"]["content"] == "two"


async def test_first_message_of_a_conversation_is_recovered(
    start_process: Callable[..., ChatProcess],
) -> None:
    """No client knows a position in that conversation yet: they get a reset."""
    dying, listening = start_process(), start_process()
    conversation = await dying.conversation(ADA, BOB)
    listener = listening.listen(BOB)

    with pytest.raises(asyncio.CancelledError):
        await kill_before_publishing(dying).send(ADA, conversation, "one")
    starting = start_process(listening.bus)
    await starting.messages.start()
    await wait_for_events(listener, "reset")
    assert (await starting.conversations.get(BOB, conversation))["last_seq"] == 1


async def test_acknowledged_message_of_a_dead_process_is_counted_by_the_next_to_start(
    start_process: Callable[..., ChatProcess],
) -> None:
    """It was killed days ago, after the acknowledgement and before it had written the counters."""
    dying, starting, reading = start_process(), start_process(), start_process()
    conversation = await dying.conversation(ADA, BOB)
    await dying.checkpoints.write("dying", now())

    async def nothing(*args: object) -> None:
        """A dead process writes no counters."""

    dying.conversation_store.apply_counters = nothing  # type: ignore[method-assign]
    sent, _ = await dying.messages.send(ADA, conversation, "one")
    days = timedelta(days=3)
    aged = ObjectId.from_datetime(now() - days)
    document = await dying.message_store.get(ObjectId(conversation), ObjectId(sent["id"]))
    assert document
    await dying.message_store.collection.delete_one({"_id": document["_id"]})
    await dying.message_store.collection.insert_one(document | {"_id": aged, "changed_at": now() - days})
    times = {"at": now() - days, "alive_at": now() - days}
    await dying.checkpoints._collection.update_one({"_id": "dying"}, {"$set": times})
    assert (await reading.conversations.heads_for_hello(BOB))[0]["last_rev"] == 0
    await starting.messages.start()
    async with asyncio.timeout(5):
        while (await reading.conversations.heads_for_hello(BOB))[0]["last_rev"] != 1:
            await asyncio.sleep(0.01)
        # The dead process's checkpoint is pruned, the living one's stays.
        while len(await starting.checkpoints.all()) != 1:
            await asyncio.sleep(0.01)


async def test_reads_after_an_acknowledgement_count_the_message(process: ChatProcess) -> None:
    """Although the counters are written later; the order of conversations is right, too."""
    older, newer = await process.conversation(ADA, BOB), await process.conversation(ADA, CAY)
    await process.messages.send(ADA, newer, "before")
    await process.messages.flush_counters()
    held = asyncio.Event()
    apply_counters = process.conversation_store.apply_counters

    async def later(updates: Any) -> None:
        await held.wait()
        await apply_counters(updates)

    process.conversation_store.apply_counters = later  # type: ignore[method-assign]
    await process.messages.send(ADA, older, "now")
    shown = await process.conversations.get(BOB, older)
    assert (shown["last_seq"], shown["last_rev"], shown["unread_count"]) == (1, 1, 1)
    assert shown["last_message"]["content"] == "now"
    assert shown["last_activity_at"] == shown["last_message"]["created_at"]
    assert (await process.conversations.get(ADA, older))["unread_count"] == 0
    assert [item["last_rev"] for item in await process.conversations.heads_for_hello(BOB)] == [1]
    assert len((await process.messages.history(BOB, older, None, 10)).items) == 1
    assert (await process.conversations.mark_read(BOB, older, 1))["unread_count"] == 0
    listed = asyncio.ensure_future(process.conversations.page(ADA, 10, None))
    held.set()
    items, _ = await listed
    assert [item["id"] for item in items] == [older, newer]


async def test_counters_of_a_busy_conversation_are_written_in_batches(process: ChatProcess) -> None:
    """Twenty messages take fewer than twenty counter writes."""
    conversation = await process.conversation(ADA, BOB)
    writes = 0
    apply_counters = process.conversation_store.apply_counters

    async def counting(updates: Any) -> None:
        nonlocal writes
        writes += 1
        await apply_counters(updates)

    process.conversation_store.apply_counters = counting  # type: ignore[method-assign]
    for number in range(20):
        await process.messages.send(ADA, conversation, f"m{number}")
    assert writes < 20
    await process.messages.flush_counters()
    [head] = (await process.conversation_store.heads([ObjectId(conversation)])).values()
    assert (head.seq, head.rev) == (20, 20)


async def test_removed_participant_cannot_send_through_a_stale_cache(start_process: Callable[..., ChatProcess]) -> None:
    """The process has the membership in its cache, and has not seen the event of the removal."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB)
    await here.messages.send(BOB, group, "in")
    await there.groups.remove_participant(ADA, group, BOB)
    with pytest.raises(NotFound):
        await here.messages.send(BOB, group, "out")
    await there.groups.add_participants(ADA, group, [CAY])
    listener = here.listen(CAY)
    await here.messages.send(CAY, group, "new here")
    [event] = received(listener, "new_message")
    assert (event["data"]["content"], event["data"]["seq"]) == ("new here", 4)


async def test_recovery_finds_conversations_behind_many_messages(process: ChatProcess) -> None:
    """The last stored message is the one that a dead process did not publish."""
    busy, last = await process.conversation(ADA, BOB), await process.conversation(ADA, CAY)
    await asyncio.gather(*[process.messages.submit(ADA, busy, f"m{n}") for n in range(TAIL + 1)])
    await process.messages.send(ADA, last, "the last")
    steps = [found async for found in process.message_store.conversations_written(now() - MARGIN, now() + MARGIN)]
    assert len(steps) == 4
    assert set().union(*steps) == {ObjectId(busy), ObjectId(last)}


async def test_catch_up_fits_a_connection_queue(process: ChatProcess) -> None:
    """Long messages come in several parts of at least one message each, which together are complete."""
    conversation = await process.conversation(ADA, BOB)
    await asyncio.gather(*[process.messages.submit(ADA, conversation, "ữ" * 4000) for _ in range(100)])
    revs, complete = [0], False
    while not complete:
        [(_, read)] = await process.messages.catch_up(BOB, {conversation: revs[-1]})
        catch_up = await read()
        assert len(dumps(catch_up._asdict()).encode()) < MAX_BYTES / 2
        revs += [message["rev"] for message in catch_up.messages]
        complete = catch_up.complete
    assert revs == list(range(101))


async def test_failed_counter_write_does_not_affect_the_message(process: ChatProcess) -> None:
    """The database stores the message, but does not confirm the counter write, which is reconciled."""
    conversation = await process.conversation(ADA, BOB)
    listener = process.listen(BOB)
    apply_counters = process.conversation_store.apply_counters

    async def unconfirmed(updates: Any) -> None:
        process.conversation_store.apply_counters = apply_counters  # type: ignore[method-assign]
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waited"}]})

    process.conversation_store.apply_counters = unconfirmed  # type: ignore[method-assign]
    _, new = await process.messages.send(ADA, conversation, "one")
    assert new
    assert len(received(listener, "new_message")) == 1
    await process.messages.start()
    async with asyncio.timeout(5):
        while (await process.conversations.get(BOB, conversation))["last_seq"] != 1:
            await asyncio.sleep(0.01)


async def test_concurrent_catch_ups_are_bounded_in_memory(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only MAX_CATCH_UPS read at a time, and waiting for a turn times out."""
    conversation = await process.conversation(ADA, BOB)
    for _ in range(2):
        await asyncio.gather(
            *[process.messages.submit(ADA, conversation, "\N{PARTY POPPER}" * 4000) for _ in range(60)]
        )
    [(_, read)] = await process.messages.catch_up(BOB, {conversation: 0})
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = await asyncio.gather(*[read() for _ in range(60)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    answers = 60 * 2 * SYNC_BYTES
    assert peak - before < answers + MAX_CATCH_UPS * 120 * 2 * 16_000
    assert all(catch_up.messages for catch_up in found)
    monkeypatch.setattr(module, "CATCH_UP_TIMEOUT", 0.01)
    async with AsyncExitStack() as stack:
        for _ in range(MAX_CATCH_UPS):
            await stack.enter_async_context(process.messages._catch_ups)
        with pytest.raises(Unavailable):
            await read()


SHOWN = 100
"""Users of a reaction that a message shows: with one more, a message is as large as it can be for a client."""


async def heavily_reacted(process: ChatProcess, group: str, count: int, users_per_emoji: int = 800) -> list[str]:
    """Store messages with 50 × `users_per_emoji` reactions; the last user of each is BOB. Return their ids."""
    users = [*(f"{number:024x}" for number in range(users_per_emoji - 1)), BOB]
    reactions = {chr(0x1F600 + number): users for number in range(MAX_EMOJIS)}
    ids = [(await process.messages.send(ADA, group, "We are hiring!"))[0]["id"] for _ in range(count)]
    await process.message_store.collection.update_many(
        {"conversation_id": ObjectId(group)}, {"$set": {"reactions": reactions}}
    )
    return ids


async def test_a_message_with_very_many_reactions_is_delivered(process: ChatProcess) -> None:
    """In events with the first hundred users of each, in answers to a user with theirs among them; counted entirely."""
    group = await process.group(ADA, BOB)
    (message,) = await heavily_reacted(process, group, 1)
    stream = process.listen(BOB)
    answer = await process.messages.react(ADA, group, message, "😀", on=True)
    (event,) = received(stream, "message_updated")
    for shown, user in ((answer, ADA), (event["data"], None)):
        assert shown["reaction_counts"] == {emoji: 801 if emoji == "😀" else 800 for emoji in shown["reactions"]}
        assert {len(users) for users in shown["reactions"].values()} == {100}
        assert user is None or user in shown["reactions"]["😀"]
    assert BOB not in event["data"]["reactions"]["😀"]
    page = (await process.messages.history(BOB, group, None, 50)).items
    changes = (await process.messages.changes(BOB, group, 0, 50)).items
    ((_, read),) = await process.messages.catch_up(BOB, {group: 0})
    listed, _ = await process.conversations.page(BOB, 50, None)
    again = await process.messages.react(BOB, group, message, "😀", on=True)
    for shown in (page[0], changes[0], (await read()).messages[0], listed[0]["last_message"], again):
        assert all(BOB in users and len(users) == 100 for users in shown["reactions"].values())
    assert len(dumps(event)) < MAX_BYTES / 5


async def test_pages_of_messages_with_very_many_reactions_end_by_bytes(process: ChatProcess) -> None:
    """Of 9 such messages, no page has a megabyte, and the pages together have all."""
    group = await process.group(ADA, BOB)
    ids = await heavily_reacted(process, group, 9, SHOWN + 1)
    seen: list[str] = []
    before = None
    while True:
        page = await process.messages.history(BOB, group, before, 100)
        assert len(dumps(page.items)) < 1 << 20
        assert [message["seq"] for message in page.items] == sorted(message["seq"] for message in page.items)
        seen = [message["id"] for message in page.items] + seen
        before = page.next
        if before is None:
            break
    assert ids == seen
    seen, after = [], 0
    while True:
        page = await process.messages.changes(BOB, group, after, 100)
        assert len(dumps(page.items)) < 1 << 20
        seen += [message["id"] for message in page.items]
        if page.next is None:
            break
        after = page.next
    assert ids == seen


async def test_lists_of_conversations_with_long_last_messages_end_by_bytes(process: ChatProcess) -> None:
    groups = [await process.group(ADA, BOB) for _ in range(9)]
    for group in groups:
        await heavily_reacted(process, group, 1, SHOWN + 1)
    seen: list[str] = []
    cursor = None
    while True:
        items, cursor = await process.conversations.page(BOB, 100, cursor)
        assert len(dumps(items)) < 1 << 20
        seen += [item["id"] for item in items]
        if cursor is None:
            break
    assert groups[::-1] == seen
