"""Users who join a group see no message from before, by any path, unless its history is open to them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId

from service.chat.large_groups import FIRST
from service.chat.members import LARGE, History
from service.common.errors import NotFound, ValidationFailed
from service.common.times import now
from service.datastores.mongo import Document, Mongo
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, Writes, received, texts, wait_for_events
from tests.chat.test_membership_races import before

pytestmark = pytest.mark.usefixtures("group_writes")

OLD, NEW = ["old 1", "old 2", "old 3"], ["new 4", "new 5"]

Path = Callable[[ChatProcess, str], Awaitable[list[dict[str, Any] | None]]]


async def history(process: ChatProcess, group: str) -> list[dict[str, Any] | None]:
    return list((await process.messages.history(CAY, group, None, 50)).items)


async def history_in_pages(process: ChatProcess, group: str) -> list[dict[str, Any] | None]:
    found, cursor = [], None
    while True:
        page = await process.messages.history(CAY, group, cursor, 1)
        found += page.items
        cursor = page.next
        if cursor is None:
            return list(found)


async def history_before_the_start(process: ChatProcess, group: str) -> list[dict[str, Any] | None]:
    return list((await process.messages.history(CAY, group, 3, 50)).items)


async def changes(process: ChatProcess, group: str) -> list[dict[str, Any] | None]:
    return list((await process.messages.changes(CAY, group, 0, 50)).items)


async def sync(process: ChatProcess, group: str) -> list[dict[str, Any] | None]:
    [(_, read)] = await process.messages.catch_up(CAY, {group: 0})
    return list((await read()).messages)


READS: dict[str, tuple[Path, list[str], list[str]]] = {
    "history": (history, NEW, OLD + NEW),
    "history in pages": (history_in_pages, NEW[::-1], (OLD + NEW)[::-1]),
    "history before the start": (history_before_the_start, [], OLD[:2]),
    "changes": (changes, NEW, ["old 1", "old 3", "old 2", *NEW]),
    "sync": (sync, NEW, ["old 1", "old 3", "old 2", *NEW]),
}
"""Each with what a user reads by it from whom the history is hidden, and to whom it is open."""


async def joined(process: ChatProcess, history: History = "since_joined") -> tuple[str, list[str]]:
    """Create a group with three messages, of which the second was changed last, and add Cay; return the messages."""
    created, _ = await process.conversations.create(ADA, [BOB], "A group", history)
    group = created["id"]
    ids = [(await process.messages.send(ADA, group, text))[0]["id"] for text in OLD]
    await process.messages.react(BOB, group, ids[1], "👍", on=True)
    await process.groups.add_participants(ADA, group, [CAY])
    return group, ids


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("history", ["since_joined", "all"])
async def test_messages_read_by_a_user_who_joined_later(process: ChatProcess, history: History, read: str) -> None:
    group, _ = await joined(process, history)
    for text in NEW:
        await process.messages.send(BOB, group, text)
    path, hidden, opened = READS[read]
    seen = await path(process, group)
    assert texts(seen) == (hidden if history == "since_joined" else opened)
    # That they have joined is the first message since then.
    joined_at = [message["seq"] for message in seen if message and message["kind"] == "joined"]
    assert joined_at == ([] if read == "history before the start" else [4])


async def joined_earlier(process: ChatProcess, history: History = "since_joined") -> str:
    """Like `joined`, but with an earlier version, which appended no message when somebody joined."""
    created, _ = await process.conversations.create(ADA, [BOB], "A group", history)
    group: str = created["id"]
    for text in OLD:
        await process.messages.send(ADA, group, text)
    await process.messages.flush_counters()
    mark = "read" if history == "all" else "start"
    store, key = process.conversation_store, ObjectId(group)
    change: Document = {"$push": {"participants": ObjectId(CAY)}, "$set": {f"{mark}s.{CAY}": 3}, "$inc": {"version": 1}}
    if await store._collection.find_one({"_id": key, LARGE: True}):
        # It has become a large group since then.
        added = {"user_id": ObjectId(CAY), "place": 2, "joined_at": now(), mark: 3}
        await store._memberships.insert(key, 1, [added])
        change = {"$push": {FIRST: ObjectId(CAY)}, "$inc": {"version": 1, "participant_count": 1, "next_place": 1}}
    await store._collection.update_one({"_id": key}, change)
    return group


@pytest.mark.parametrize("history", ["since_joined", "all"])
async def test_last_message_of_a_user_who_joined_later(process: ChatProcess, history: History) -> None:
    """In the answer, the list, and the announcement; for those who were there before, it is shown."""
    group = await joined_earlier(process, history)
    listeners = [process.listen(CAY), process.listen(BOB)]
    shown = [(await process.conversations.get(CAY, group))["last_message"]]
    shown += [item["last_message"] for item in (await process.conversations.page(CAY, 10, None))[0]]
    # Of the changes, this one takes no message.
    await process.groups.change(ADA, group, {"history": "all" if history == "since_joined" else "since_joined"})
    announced = [received(listener, "conversation_updated")[-1]["data"]["last_message"] for listener in listeners]
    expected = None if history == "since_joined" else "old 3"
    assert [message and message["content"] for message in (*shown, announced[0])] == [expected] * 3
    assert announced[1]["content"] == "old 3"
    new, _ = await process.messages.send(BOB, group, "new 4")
    assert (await process.conversations.get(CAY, group))["last_message"] == new


async def test_announcement_of_a_large_group_hides_the_last_message(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If several participants get the same event, those who do not see the last message get another one."""
    monkeypatch.setattr("service.chat.members.MAX_READ_MARKS", 0)
    group = await joined_earlier(process)
    for user in (BOB, CAY):
        await process.conversations.mark_read(user, group, 3)
    listeners = {user: process.listen(user) for user in (BOB, CAY)}
    await process.groups.change(ADA, group, {"history": "all"})
    told = {user: received(listener)[-1]["data"]["last_message"] for user, listener in listeners.items()}
    assert (told[BOB]["content"], told[CAY]) == ("old 3", None)


async def test_numbers_of_a_user_who_joined_later(process: ChatProcess) -> None:
    """Earlier messages are read; the read mark does not move back to one of them, and the count begins with the new."""
    group, _ = await joined(process)
    [head] = await process.conversations.heads_for_hello(CAY)
    assert head == {"conversation_id": group, "last_seq": 4, "last_rev": 5, "last_read_seq": 3}
    shown = await process.conversations.get(CAY, group)
    assert (shown["last_read_seq"], shown["unread_count"]) == (3, 0)
    assert (await process.conversations.mark_read(CAY, group, 1))["last_read_seq"] == 3
    await process.messages.send(BOB, group, "new 4")
    assert (await process.conversations.get(CAY, group))["unread_count"] == 1
    items, _ = await process.conversations.participants(ADA, group, 10, None)
    assert {item["user"]["id"]: item["last_read_seq"] for item in items} == {ADA: 3, BOB: 5, CAY: 3}


CHANGES: dict[str, Callable[[ChatProcess, str, str, str], Awaitable[object]]] = {
    "react": lambda process, user, group, message: process.messages.react(user, group, message, "👍", on=True),
    "edit": lambda process, user, group, message: process.messages.edit(user, group, message, "edited"),
    "delete": lambda process, user, group, message: process.messages.delete(user, group, message),
    "erase": lambda process, user, group, message: process.messages.erase(user, group, message),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_change_of_an_earlier_message_is_not_told(process: ChatProcess, change: str) -> None:
    """Instead, the user's clients get `rev_skipped`; the others get the change."""
    group, [_, _, message] = await joined(process)
    listeners = [process.listen(CAY), process.listen(BOB)]
    await CHANGES[change](process, ADA, group, message)
    new, _ = await process.messages.send(ADA, group, "new 4")
    skipped, told = received(listeners[0])
    assert skipped == {"type": "rev_skipped", "conversation_id": group, "data": {"rev": new["rev"] - 1}}
    assert told["data"] == new
    assert [event["data"]["seq"] for event in received(listeners[1])] == [3, 5]


async def test_change_of_an_earlier_message_that_the_bus_lost(start_process: Callable[..., ChatProcess]) -> None:
    """It is read from the database, and is not sent to them either."""
    here, there = start_process(), start_process()
    group, [message, *_] = await joined(here)
    listeners = [here.listen(CAY), here.listen(BOB)]
    await here.conversations.heads_for_hello(CAY)
    await there.messages.edit(ADA, group, message, "edited")
    new, _ = await there.messages.send(ADA, group, "new 4")
    here.dispatcher.announce_position(f"c:{group}", new["rev"], "chat", [ADA, BOB, CAY])
    await wait_for_events(listeners[1], "new_message")
    assert [event["type"] for event in received(listeners[0])] == ["rev_skipped", "new_message"]
    assert [event["data"]["content"] for event in received(listeners[1])] == ["edited", "new 4"]


@pytest.mark.parametrize("change", ["react", "edit", "delete"])
async def test_earlier_message_cannot_be_changed(process: ChatProcess, change: str) -> None:
    """Not even one's own, sent before one left and joined again: for its author, too, it does not exist any more."""
    group, [message, *_] = await joined(process)
    with pytest.raises(NotFound):
        await CHANGES[change](process, CAY, group, message)
    token = (await process.invitations.invite(ADA, group))["token"]
    own = (await process.messages.send(BOB, group, "own"))[0]["id"]
    await process.groups.remove_participant(BOB, group, BOB)
    await process.invitations.accept(BOB, token)
    with pytest.raises(NotFound):
        await CHANGES[change](process, BOB, group, own)


async def test_earlier_message_cannot_be_replied_to(process: ChatProcess) -> None:
    """It is answered like one that does not exist."""
    group, [message, *_] = await joined(process)
    details = []
    for reply_to in (message, "0" * 24):
        with pytest.raises(ValidationFailed) as refused:
            await process.messages.send(CAY, group, "hm", reply_to=reply_to)
        details.append(refused.value.fields)
    assert details[0] == details[1]
    answer, _ = await process.messages.send(BOB, group, "that one", reply_to=message)
    assert (await history(process, group))[-1] == answer


async def test_messages_that_this_process_has_not_heard_of_are_earlier_ones(
    start_process: Callable[..., ChatProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored by another process, more than one read finds, and not counted yet."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB)

    async def nothing(*args: object) -> None:
        """The counters are written later."""

    monkeypatch.setattr(there.conversation_store, "apply_counters", nothing)
    for number in range(7):
        await there.messages.send(ADA, group, f"old {number}")
    with monkeypatch.context() as patch:
        patch.setattr("service.chat.message_store.TAIL", 2)
        await here.groups.add_participants(ADA, group, [CAY])
    await there.messages.send(ADA, group, "new")
    assert texts((await there.messages.history(CAY, group, None, 50)).items) == ["new"]


async def test_history_is_a_property_of_those_who_join_later(process: ChatProcess) -> None:
    """Opening it shows nothing to those who have joined before, and closing it hides nothing from them."""
    group, _ = await joined(process)
    opened = await process.groups.change(ADA, group, {"history": "all"})
    assert (opened["history"], opened["title"]) == ("all", "A group")
    await process.groups.add_participants(ADA, group, [DAN])
    await process.groups.change(ADA, group, {"history": "since_joined"})
    seen = {user: texts((await process.messages.history(user, group, None, 50)).items) for user in (BOB, CAY, DAN)}
    assert seen == {BOB: OLD, CAY: [], DAN: OLD}


async def test_history_that_is_closed_while_somebody_is_added_is_closed_to_them(
    start_process: Callable[..., ChatProcess], group_writes: Writes
) -> None:
    """By another process, at the moment of the write."""
    here, there = start_process(), start_process()
    created, _ = await here.conversations.create(ADA, [BOB], "A group", "all")
    group = created["id"]
    await here.messages.send(ADA, group, "old")

    async def close() -> None:
        await there.groups.change(ADA, group, {"history": "since_joined"})

    before(group_writes(here), "_update", close)
    await here.groups.add_participants(ADA, group, [CAY])
    assert texts((await here.messages.history(CAY, group, None, 50)).items) == []


@pytest.mark.parametrize("read", [history, changes, sync])
async def test_reader_who_joins_again_meanwhile_sees_nothing_of_their_absence(
    start_process: Callable[..., ChatProcess], read: Path
) -> None:
    """The start is read before the messages and again after them."""
    here, there = start_process(), start_process()
    group, _ = await joined(here)
    await here.messages.send(BOB, group, "new 4")
    await here.messages.flush_counters()
    away = []

    async def leave_and_return() -> None:
        await there.groups.remove_participant(CAY, group, CAY)
        away.append((await there.messages.send(ADA, group, "among us"))[0])
        await there.messages.flush_counters()
        await there.invitations.accept(CAY, (await there.invitations.invite(ADA, group))["token"])
        await there.messages.send(ADA, group, "welcome back")

    before(here.message_store, "_find", leave_and_return)
    contents = texts(await read(here, group))
    assert [message["seq"] for message in away] == [7]
    assert contents in ([], ["welcome back"])


async def test_conversations_of_earlier_versions(process: ChatProcess, mongo: Mongo) -> None:
    """Their participants see what they saw; who joins now does not see it."""
    group = await process.group(ADA, BOB)
    await process.messages.send(ADA, group, "old 1")
    await process.messages.flush_counters()
    fields = {"history": "", "admins": "", "joined": "", "starts": ""}
    await mongo.database["conversations"].update_one({"_id": ObjectId(group)}, {"$unset": fields})
    shown = await process.conversations.get(BOB, group)
    assert (shown["history"], shown["role"], shown["last_message"]["content"]) == ("since_joined", "member", "old 1")
    assert len((await process.messages.history(BOB, group, None, 50)).items) == 1
    await process.groups.add_participants(ADA, group, [CAY])
    assert texts((await process.messages.history(CAY, group, None, 50)).items) == []
