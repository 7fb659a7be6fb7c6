"""Messages: said, changed, read back, and told to everyone."""

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
from service.chat.message_service import MAX_EMOJIS, RECOVERIES, SYNC_BYTES, MessageService
from service.chat.message_store import TAIL
from service.chat.writer_checkpoints import MARGIN
from service.common.encoding import dumps
from service.common.errors import Forbidden, NotFound, Unavailable, ValidationFailed
from service.common.times import now
from service.realtime.connection_queue import MAX_BYTES
from tests.chat.world import ADA, BOB, CAY, World, heard, until_heard


async def test_a_message_is_told_to_every_device_of_every_participant(world: World) -> None:
    """The sender's own included, a stranger's not."""
    conversation = await world.conversation(ADA, BOB)
    listeners = [world.listen(user) for user in (ADA, ADA, BOB, BOB)]
    stranger = world.listen(CAY)
    message, new = await world.chat.send(ADA, conversation, "xin chào", "n1")
    assert new
    for listener in listeners:
        [event] = heard(listener, "new_message")
        assert event == {"type": "new_message", "conversation_id": conversation, "data": message}
    assert heard(stranger) == []


async def test_edits_and_deletions_are_the_senders_own(world: World) -> None:
    """Everyone else may see the message but not do this; a stranger does not find it."""
    conversation = await world.conversation(ADA, BOB)
    message = (await world.chat.send(ADA, conversation, "mine"))[0]["id"]
    with pytest.raises(Forbidden):
        await world.chat.edit(BOB, conversation, message, "yours")
    with pytest.raises(Forbidden):
        await world.chat.delete(BOB, conversation, message)
    for call in (world.chat.edit(CAY, conversation, message, "x"), world.chat.delete(CAY, conversation, message)):
        with pytest.raises(NotFound):
            await call
    edited = await world.chat.edit(ADA, conversation, message, "mine, edited")
    assert (edited["content"], edited["seq"], edited["rev"]) == ("mine, edited", 1, 2)
    assert edited["edited_at"]


async def test_a_deleted_message_leaves_a_tombstone(world: World) -> None:
    """Without content and reactions, in its place; deleting it again changes nothing, and nothing else can be done."""
    conversation = await world.conversation(ADA, BOB)
    message = (await world.chat.send(ADA, conversation, "gone soon"))[0]["id"]
    await world.chat.react(BOB, conversation, message, "👍", on=True)
    gone = await world.chat.delete(ADA, conversation, message)
    assert (gone["deleted"], gone["content"], gone["reactions"], gone["seq"], gone["rev"]) == (True, "", {}, 1, 3)
    assert await world.chat.delete(ADA, conversation, message) == gone
    with pytest.raises(Forbidden):
        await world.chat.edit(ADA, conversation, message, "back")
    with pytest.raises(Forbidden):
        await world.chat.react(BOB, conversation, message, "👍", on=True)
    assert (await world.chat.history(BOB, conversation, None, 10)).items == [gone]


async def test_reactions_are_idempotent_and_told(world: World) -> None:
    """Only what changes something takes a rev and an event."""
    conversation = await world.conversation(ADA, BOB)
    listener = world.listen(ADA)
    message = (await world.chat.send(ADA, conversation, "like me"))[0]["id"]
    for on in (True, True, False, False):
        changed = await world.chat.react(BOB, conversation, message, "👍", on=on)
    assert (changed["reactions"], changed["rev"]) == ({}, 3)
    events = heard(listener, "message_updated")
    assert [event["data"]["reactions"] for event in events] == [{"👍": [BOB]}, {}]


async def test_a_message_has_a_bounded_number_of_reactions(world: World) -> None:
    """One more kind is refused, one more of a kind is not."""
    conversation = await world.conversation(ADA, BOB)
    message = (await world.chat.send(ADA, conversation, "popular"))[0]["id"]
    emojis = [chr(0x1F600 + n) for n in range(MAX_EMOJIS + 1)]
    await asyncio.gather(*[world.chat.react(BOB, conversation, message, e, on=True) for e in emojis[:-1]])
    with pytest.raises(ValidationFailed):
        await world.chat.react(BOB, conversation, message, emojis[-1], on=True)
    assert len((await world.chat.react(ADA, conversation, message, emojis[0], on=True))["reactions"]) == MAX_EMOJIS


async def test_history_is_paged_by_place(world: World) -> None:
    """The newest page first, each ascending, none twice, none missing."""
    conversation = await world.conversation(ADA, BOB)
    await asyncio.gather(*[world.chat.submit(ADA, conversation, f"m{n}") for n in range(25)])
    page = await world.chat.history(BOB, conversation, None, 10)
    seqs = [[message["seq"] for message in page.items]]
    while page.next:
        page = await world.chat.history(BOB, conversation, page.next, 10)
        seqs.append([message["seq"] for message in page.items])
    assert seqs == [list(range(16, 26)), list(range(6, 16)), list(range(1, 6))]
    assert (await world.chat.history(BOB, conversation, 1, 10)).items == []
    assert len((await world.chat.history(BOB, conversation, 10**9, 10)).items) == 10
    with pytest.raises(NotFound):
        await world.chat.history(CAY, conversation, None, 10)


async def test_changes_are_paged_by_rev(world: World) -> None:
    """Every message once, under its last rev, ascending."""
    conversation = await world.conversation(ADA, BOB)
    ids = [(await world.chat.send(ADA, conversation, f"m{n}"))[0]["id"] for n in range(12)]
    for message in (ids[3], ids[0], ids[3]):
        await world.chat.edit(ADA, conversation, message, f"edited {message[-1]}{ObjectId()}")
    found, after = [], 0
    while True:
        page = await world.chat.changes(BOB, conversation, after, 5)
        found += [(message["id"], message["rev"]) for message in page.items]
        if page.next is None:
            break
        after = page.next
    assert [rev for _, rev in found] == sorted(rev for _, rev in found)
    assert {message for message, _ in found} == set(ids)
    assert len(found) == len(ids)
    assert [message for message, _ in found[-2:]] == [ids[0], ids[3]]
    assert (await world.chat.changes(BOB, conversation, 15, 5)).items == []


async def test_what_was_missed_is_told_whole_or_in_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the limit, and whether that is all; conversations of others are left out."""
    monkeypatch.setattr("service.chat.message_service.SYNC_LIMIT", 3)
    mine, others = await world.conversation(ADA, BOB), await world.conversation(BOB, CAY)
    for n in range(5):
        await world.chat.send(ADA, mine, f"m{n}")
    readers = dict(await world.chat.missed(ADA, {mine: 0, others: 0}))
    assert list(readers) == [mine]
    missed = await readers[mine]()
    assert ([message["rev"] for message in missed.messages], missed.last_rev, missed.complete) == ([1, 2, 3], 5, False)
    missed = await dict(await world.chat.missed(ADA, {mine: 3}))[mine]()
    assert ([message["rev"] for message in missed.messages], missed.last_rev, missed.complete) == ([4, 5], 5, True)


def killed(world: World) -> MessageService:
    """Its chat, which ends where it would tell of what it has stored."""

    def end(*args: object) -> None:
        raise asyncio.CancelledError

    async def nothing(*args: object) -> None:
        """A process that is gone writes nothing behind."""

    world.dispatcher.publish = end  # type: ignore[method-assign]
    world.conversations.apply_counters = nothing  # type: ignore[method-assign]
    return world.chat


async def test_what_a_dead_process_stored_and_did_not_tell_is_told_by_the_next_to_start(
    processes: Callable[..., World],
) -> None:
    """It was killed between the write and the publishing: the listeners of others hear of it all the same."""
    dying, listening = processes(), processes()
    conversation = await dying.conversation(ADA, BOB)
    await dying.chat.send(ADA, conversation, "one")
    await dying.chat.flush_counters()
    listener = listening.listen(BOB)
    await listening.membership.hello(BOB)

    with pytest.raises(asyncio.CancelledError):
        await killed(dying).send(ADA, conversation, "two")
    assert heard(listener, "new_message") == []
    # The next one shares the listening process's bus, as all processes of a deployment do.
    starting = processes(listening.bus)
    await starting.chat.start()
    [event] = await until_heard(listener, "new_message")
    assert event["data"]["content"] == "two"
    assert (await starting.membership.get(BOB, conversation))["last_seq"] == 2


async def test_an_event_lost_on_the_way_is_read_again_in_its_place(processes: Callable[..., World]) -> None:
    """Two processes that do not hear each other: the third event shows what is missing."""
    here, there = processes(), processes()
    conversation = await here.conversation(ADA, BOB)
    listener = here.listen(BOB)
    await here.membership.hello(BOB)
    await here.chat.send(ADA, conversation, "one")
    two = (await there.chat.send(ADA, conversation, "two"))[0]["id"]
    await there.chat.send(ADA, conversation, "three")
    await there.chat.edit(ADA, conversation, two, "two, edited")
    await here.chat.send(ADA, conversation, "four")
    events = await until_heard(listener, "new_message", 4)
    assert [event["data"]["rev"] for event in events] == [1, 3, 4, 5]
    assert [event["data"]["content"] for event in events] == ["one", "three", "two, edited", "four"]


async def test_a_conversation_left_in_doubt_while_it_is_looked_at_is_looked_at_again(world: World) -> None:
    """A second write ends without an answer, after the first one's outcome has been read."""
    conversation = await world.conversation(ADA, BOB)
    await world.chat.send(ADA, conversation, "one")
    listener = world.listen(BOB)
    await world.membership.hello(BOB)
    tail, write = world.messages.tail, world.chat._append.write

    async def write_without_answer(items: Any) -> Any:
        await write(items)
        raise Unavailable

    async def slow_tail(*args: Any) -> Any:
        found = await tail(*args)
        world.messages.tail = tail  # type: ignore[method-assign]
        world.chat._append.write = write_without_answer  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await world.chat.send(ADA, conversation, "two")
        return found

    world.messages.tail = slow_tail  # type: ignore[method-assign]
    await world.chat.start()
    [event] = await until_heard(listener, "new_message")
    assert event["data"]["content"] == "two"


async def test_the_first_message_is_not_lost_with_its_process(
    processes: Callable[..., World],
) -> None:
    """Nobody was told anything of that conversation's order before: they are told to look."""
    dying, listening = processes(), processes()
    conversation = await dying.conversation(ADA, BOB)
    listener = listening.listen(BOB)

    with pytest.raises(asyncio.CancelledError):
        await killed(dying).send(ADA, conversation, "one")
    starting = processes(listening.bus)
    await starting.chat.start()
    await until_heard(listener, "reset")
    assert (await starting.membership.get(BOB, conversation))["last_seq"] == 1


async def test_what_was_acknowledged_is_counted_by_the_next_process_to_start(processes: Callable[..., World]) -> None:
    """It was killed after telling and acknowledging, days ago, before it had counted: nobody else ever will."""
    dying, starting, reading = processes(), processes(), processes()
    conversation = await dying.conversation(ADA, BOB)
    await dying.writers.mark("dying")

    async def nothing(*args: object) -> None:
        """A process that is gone writes nothing behind."""

    dying.conversations.apply_counters = nothing  # type: ignore[method-assign]
    sent, _ = await dying.chat.send(ADA, conversation, "one")
    days = timedelta(days=3)
    aged = ObjectId.from_datetime(now() - days)
    document = await dying.messages.one(ObjectId(conversation), ObjectId(sent["id"]))
    assert document
    await dying.messages.collection.delete_one({"_id": document["_id"]})
    await dying.messages.collection.insert_one(document | {"_id": aged})
    await dying.writers._collection.update_one({"_id": "dying"}, {"$set": {"at": now() - days}})
    assert (await reading.membership.hello(BOB))[0]["last_rev"] == 0
    await starting.chat.start()
    async with asyncio.timeout(5):
        while (await reading.membership.hello(BOB))[0]["last_rev"] != 1:
            await asyncio.sleep(0.01)
        # Its mark has served, and the living one's stays.
        while len(await starting.writers.spans()) != 2:
            await asyncio.sleep(0.01)


async def test_who_is_acknowledged_and_looks_sees_it_counted(world: World) -> None:
    """The numbers of a conversation are written later; what is shown of it is right at once, and so is the order."""
    older, newer = await world.conversation(ADA, BOB), await world.conversation(ADA, CAY)
    await world.chat.send(ADA, newer, "before")
    await world.chat.flush_counters()
    held = asyncio.Event()
    touch = world.conversations.apply_counters

    async def later(touches: Any) -> None:
        await held.wait()
        await touch(touches)

    world.conversations.apply_counters = later  # type: ignore[method-assign]
    await world.chat.send(ADA, older, "now")
    shown = await world.membership.get(BOB, older)
    assert (shown["last_seq"], shown["last_rev"], shown["unread_count"]) == (1, 1, 1)
    assert shown["last_message"]["content"] == "now"
    assert shown["last_activity_at"] == shown["last_message"]["created_at"]
    assert (await world.membership.get(ADA, older))["unread_count"] == 0
    assert [item["last_rev"] for item in await world.membership.hello(BOB)] == [1]
    assert len((await world.chat.history(BOB, older, None, 10)).items) == 1
    assert (await world.membership.read(BOB, older, 1))["unread_count"] == 0
    listed = asyncio.ensure_future(world.membership.page(ADA, 10, None))
    held.set()
    items, _ = await listed
    assert [item["id"] for item in items] == [older, newer]


async def test_a_busy_conversation_is_counted_now_and_then(world: World) -> None:
    """However much is said in it, its numbers are written a few times a second."""
    conversation = await world.conversation(ADA, BOB)
    writes = 0
    touch = world.conversations.apply_counters

    async def counting(touches: Any) -> None:
        nonlocal writes
        writes += 1
        await touch(touches)

    world.conversations.apply_counters = counting  # type: ignore[method-assign]
    for number in range(20):
        await world.chat.send(ADA, conversation, f"m{number}")
    assert writes < 20
    await world.chat.flush_counters()
    [place] = (await world.conversations.places([ObjectId(conversation)])).values()
    assert (place.seq, place.rev) == (20, 20)


async def test_who_was_taken_out_stores_nothing_whatever_is_remembered(processes: Callable[..., World]) -> None:
    """The process that they write to has their membership in memory, and was told of nothing."""
    here, there = processes(), processes()
    group = await here.group(ADA, BOB)
    await here.chat.send(BOB, group, "in")
    await there.membership.remove(ADA, group, BOB)
    with pytest.raises(NotFound):
        await here.chat.send(BOB, group, "out")
    await there.membership.add(ADA, group, [CAY])
    listener = here.listen(CAY)
    await here.chat.send(CAY, group, "new here")
    assert [event["data"]["seq"] for event in heard(listener, "new_message")] == [2]


async def test_a_look_back_sees_the_latest_however_much_was_said(world: World) -> None:
    """What a dead process did not tell is the last that was stored."""
    busy, last = await world.conversation(ADA, BOB), await world.conversation(ADA, CAY)
    await asyncio.gather(*[world.chat.submit(ADA, busy, f"m{n}") for n in range(TAIL + 1)])
    await world.chat.send(ADA, last, "the last")
    found = await world.messages.conversations_between(now() - MARGIN, now() + MARGIN)
    assert sorted(found) == sorted([ObjectId(busy), ObjectId(last)])


async def test_what_was_missed_fits_a_connection_however_long_it_is(world: World) -> None:
    """Long messages come in more parts; each part takes in at least one, and together they are all."""
    conversation = await world.conversation(ADA, BOB)
    await asyncio.gather(*[world.chat.submit(ADA, conversation, "ữ" * 4000) for _ in range(100)])
    revs, complete = [0], False
    while not complete:
        [(_, read)] = await world.chat.missed(BOB, {conversation: revs[-1]})
        missed = await read()
        assert len(dumps(missed._asdict()).encode()) < MAX_BYTES / 2
        revs += [message["rev"] for message in missed.messages]
        complete = missed.complete
    assert revs == list(range(101))


async def test_a_message_is_told_and_acknowledged_whatever_becomes_of_the_hint(world: World) -> None:
    """The database stored it, and then did not confirm that it has been counted."""
    conversation = await world.conversation(ADA, BOB)
    listener = world.listen(BOB)
    touch = world.conversations.apply_counters

    async def unconfirmed(touches: Any) -> None:
        world.conversations.apply_counters = touch  # type: ignore[method-assign]
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waited"}]})

    world.conversations.apply_counters = unconfirmed  # type: ignore[method-assign]
    _, new = await world.chat.send(ADA, conversation, "one")
    assert new
    assert len(heard(listener, "new_message")) == 1
    await world.chat.start()
    async with asyncio.timeout(5):
        while (await world.membership.get(BOB, conversation))["last_seq"] != 1:
            await asyncio.sleep(0.01)


async def test_many_who_catch_up_at_once_do_not_fill_the_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at a time read what they missed, which may be much; and nobody waits for ever for their turn."""
    conversation = await world.conversation(ADA, BOB)
    for _ in range(2):
        await asyncio.gather(*[world.chat.submit(ADA, conversation, "\N{PARTY POPPER}" * 4000) for _ in range(60)])
    [(_, read)] = await world.chat.missed(BOB, {conversation: 0})
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = await asyncio.gather(*[read() for _ in range(60)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    answers = 60 * 2 * SYNC_BYTES
    assert peak - before < answers + RECOVERIES * 120 * 2 * 16_000
    assert all(missed.messages for missed in found)
    monkeypatch.setattr(module, "CATCH_UP_TIMEOUT", 0.01)
    async with AsyncExitStack() as stack:
        for _ in range(RECOVERIES):
            await stack.enter_async_context(world.chat._recoveries)
        with pytest.raises(Unavailable):
            await read()
