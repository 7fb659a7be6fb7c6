"""Membership that changes while something is written or read: nobody misses a message, and nobody gets one too many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bson import ObjectId

from service.common.errors import NotFound
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, received, wait_for_events

pytestmark = pytest.mark.usefixtures("group_writes")

Step = Callable[[], Awaitable[object]]


def before(target: Any, method: str, step: Step) -> None:
    """Run `step` once, before the next call of the method."""
    original = getattr(target, method)

    async def patched(*args: Any, **options: Any) -> Any:
        setattr(target, method, original)
        await step()
        return await original(*args, **options)

    setattr(target, method, patched)


def after(target: Any, method: str, step: Step) -> None:
    """Run `step` once, after the next call of the method has returned and before its caller goes on."""
    original = getattr(target, method)

    async def patched(*args: Any, **options: Any) -> Any:
        setattr(target, method, original)
        result = await original(*args, **options)
        await step()
        return result

    setattr(target, method, patched)


WRITES: dict[str, Callable[[ChatProcess, str, str], Awaitable[object]]] = {
    "send": lambda process, group, message: process.messages.send(ADA, group, "new"),
    "edit": lambda process, group, message: process.messages.edit(ADA, group, message, "new"),
    "delete": lambda process, group, message: process.messages.delete(ADA, group, message),
    "react": lambda process, group, message: process.messages.react(BOB, group, message, "👍", on=True),
}
WHEN = {
    "before the participants are known": lambda process: before(process.messages._append._heads, "load", process.step),
    "before the write": lambda process: after(process.messages._append._heads, "load", process.step),
    "after the write": lambda process: after(process.messages._append, "write", process.step),
}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("write", WRITES)
async def test_user_who_joins_during_a_write_receives_it(
    start_process: Callable[..., ChatProcess], write: str, when: str
) -> None:
    """By its event, by `rev_skipped`, or by `last_rev` in `conversation_updated`; the user joins through another
    process."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB)
    message, _ = await here.messages.send(ADA, group, "old")
    await here.messages.flush_counters()
    listener = here.listen(CAY)
    others = there.listen(CAY)
    here.step = lambda: there.groups.add_participants(ADA, group, [CAY])  # type: ignore[attr-defined]
    WHEN[when](here)
    written: Any = await WRITES[write](here, group, message["id"])
    rev = (written[0] if write == "send" else written)["rev"]
    revs = [event["data"]["rev"] for event in received(listener, "new_message", "message_updated", "rev_skipped")]
    revs += [event["data"]["last_rev"] for event in received(others, "conversation_updated")]
    assert max(revs) >= rev


@pytest.mark.parametrize("write", WRITES)
async def test_user_who_is_removed_during_a_write_does_not_get_it(
    start_process: Callable[..., ChatProcess], write: str
) -> None:
    """The removal is stored first."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    message, _ = await here.messages.send(ADA, group, "old")
    listener = here.listen(CAY)
    step: Step = lambda: there.groups.remove_participant(ADA, group, CAY)  # noqa: E731
    after(here.messages._append._heads, "load", step)
    await WRITES[write](here, group, message["id"])
    assert received(listener, "new_message", "message_updated") == []


@pytest.mark.parametrize("write", WRITES)
async def test_removed_user_writes_nothing_although_other_changes_hide_the_removal(
    start_process: Callable[..., ChatProcess], write: str
) -> None:
    """The process with the old participants sees the numbers after the removal before it knows of the removal."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    message, _ = await here.messages.send(CAY, group, "old")
    await there.groups.remove_participant(ADA, group, CAY)
    await there.messages.react(ADA, group, message["id"], "👍", on=True)
    writes = WRITES | {
        "send": lambda process, group, message: process.messages.send(CAY, group, "new"),
        "react": lambda process, group, message: process.messages.react(CAY, group, message, "👍", on=True),
        "edit": lambda process, group, message: process.messages.edit(CAY, group, message, "new"),
        "delete": lambda process, group, message: process.messages.delete(CAY, group, message),
    }
    listener = here.listen(CAY)
    with pytest.raises(NotFound):
        await writes[write](here, group, message["id"])
    await here.messages.react(BOB, group, message["id"], "🎉", on=True)
    assert received(listener, "message_updated") == []


async def test_removed_user_who_repeats_a_change_does_not_see_the_message(
    start_process: Callable[..., ChatProcess],
) -> None:
    """There is nothing to write, so no number shows that the participants known here are outdated."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    message, _ = await here.messages.send(ADA, group, "old")
    await here.messages.react(CAY, group, message["id"], "👍", on=True)
    await there.groups.remove_participant(ADA, group, CAY)
    await there.messages.edit(ADA, group, message["id"], "among us")
    with pytest.raises(NotFound):
        await here.messages.react(CAY, group, message["id"], "👍", on=True)


async def test_removed_user_who_repeats_a_nonce_does_not_see_the_reactions(
    start_process: Callable[..., ChatProcess],
) -> None:
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    message, _ = await here.messages.send(CAY, group, "old", "n1")
    await there.groups.remove_participant(ADA, group, CAY)
    await there.messages.react(ADA, group, message["id"], "👍", on=True)
    with pytest.raises(NotFound):
        await here.messages.send(CAY, group, "old", "n1")


async def test_filled_gap_does_not_reach_a_user_who_was_removed(start_process: Callable[..., ChatProcess]) -> None:
    """The removal and a later message are stored while the missing messages are read."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    listeners = [here.listen(BOB), here.listen(CAY)]
    await here.conversations.heads_for_hello(CAY)
    await there.messages.send(ADA, group, "one")

    async def remove() -> None:
        await there.groups.remove_participant(ADA, group, CAY)
        await there.messages.send(ADA, group, "two")

    before(here.messages, "_changes_since", remove)
    here.dispatcher.announce_position(f"c:{group}", 1, "chat", [BOB, CAY])
    await wait_for_events(listeners[0], "new_message", 2)
    assert received(listeners[1], "new_message") == []


async def test_announced_conversation_does_not_reach_a_user_who_was_removed_meanwhile(
    start_process: Callable[..., ChatProcess],
) -> None:
    """It is rendered again with what has been stored since, for the present participants."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    listeners = [here.listen(BOB), here.listen(CAY)]

    async def remove() -> None:
        await there.groups.remove_participant(ADA, group, CAY)
        await there.messages.send(ADA, group, "among us")

    before(here.conversations.announcer, "_render", remove)
    await here.groups.change(ADA, group, {"title": "Renamed"})
    [event] = received(listeners[0], "conversation_updated")
    assert event["data"]["participant_ids"] == [ADA, BOB]
    assert event["data"]["last_message"]["content"] == "among us"
    # The new title had been appended before.
    assert [event["type"] for event in received(listeners[1])] == ["new_message", "conversation_removed"]


async def read_history(process: ChatProcess, group: str) -> object:
    return await process.messages.history(CAY, group, None, 10)


async def read_changes(process: ChatProcess, group: str) -> object:
    return await process.messages.changes(CAY, group, 0, 10)


async def sync(process: ChatProcess, group: str) -> object:
    [(_, read)] = await process.messages.catch_up(CAY, {group: 0})
    return await read()


async def get(process: ChatProcess, group: str) -> object:
    return await process.conversations.get(CAY, group)


@pytest.mark.parametrize("read", [read_history, read_changes, sync, get])
async def test_reader_who_is_removed_meanwhile_sees_nothing(
    start_process: Callable[..., ChatProcess], read: Callable[[ChatProcess, str], Awaitable[object]]
) -> None:
    """The membership is checked before the read and again after it."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    await here.messages.send(ADA, group, "one")
    await here.messages.flush_counters()

    async def remove() -> None:
        await there.groups.remove_participant(ADA, group, CAY)
        await there.messages.send(ADA, group, "two")

    before(here.message_store, "get_many" if read is get else "_find", remove)
    with pytest.raises(NotFound):
        await read(here, group)


async def page(process: ChatProcess, group: str) -> object:
    return (await process.conversations.page(CAY, 10, None))[0][0]


async def rename(process: ChatProcess, group: str) -> object:
    return await process.groups.change(CAY, group, {"title": "Renamed"})


@pytest.mark.parametrize("read", [page, rename])
@pytest.mark.parametrize("returns", [False, True])
async def test_last_message_is_not_shown_to_a_user_who_is_removed_meanwhile(
    start_process: Callable[..., ChatProcess], read: Callable[[ChatProcess, str], Awaitable[Any]], returns: bool
) -> None:
    """Nor if they return by an invitation: they see what is sent from then on."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    await here.groups.set_role(ADA, group, CAY, "admin")
    await here.messages.send(ADA, group, "one")
    await here.messages.flush_counters()

    async def remove() -> None:
        await there.groups.remove_participant(ADA, group, CAY)
        await here.messages.send(ADA, group, "among us")
        if returns:
            await there.invitations.accept(CAY, (await there.invitations.invite(ADA, group))["token"])

    if read is rename:
        after(here.conversations.announcer, "announce", remove)
    else:
        before(here.conversations._counter_reader, "refresh", remove)
    shown = await read(here, group)
    assert shown["id"] == group
    if shown["last_message"] is not None:
        assert (returns, shown["last_message"]["kind"]) == (True, "joined")


async def test_read_mark_reaches_a_user_who_joins_meanwhile(start_process: Callable[..., ChatProcess]) -> None:
    """And not one who is removed meanwhile."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB)
    await here.messages.send(ADA, group, "one")
    joining, leaving = here.listen(CAY), here.listen(BOB)

    async def replace() -> None:
        await there.groups.add_participants(ADA, group, [CAY])
        await there.groups.remove_participant(ADA, group, BOB)

    before(here.conversation_store, "mark_read", replace)
    await here.conversations.mark_read(ADA, group, 1)
    assert [event["data"] for event in received(joining, "read")] == [{"user_id": ADA, "seq": 1}]
    assert received(leaving, "read") == []


async def test_user_who_is_deleted_while_being_added_is_removed_again(process: ChatProcess) -> None:
    """To a new group, and to an existing one."""
    deleted: set[str] = set()
    existing = process.conversations._profiles.existing

    async def without_deleted(user_ids: Any) -> set[str]:
        return set(await existing(user_ids)) - deleted

    async def delete() -> None:
        deleted.add(CAY)

    process.conversations._profiles.existing = without_deleted  # type: ignore[method-assign]
    before(process.conversation_store, "create_group", delete)
    created, _ = await process.conversations.create(ADA, [BOB, CAY], "A group")
    assert created["participant_ids"] == [ADA, BOB]
    deleted.clear()
    before(process.conversation_store.groups, "add", delete)
    added = await process.groups.add_participants(ADA, created["id"], [CAY])
    assert added["participant_ids"] == [ADA, BOB]


async def test_hellos_of_users_who_share_a_conversation_agree(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They connect at once, have too many conversations for one shared read, and the counters are not written yet."""
    monkeypatch.setattr("service.chat.conversation_lists.MAX_SHARED_READ", 1)
    group = await process.group(ADA, BOB, CAY)
    await process.conversation(ADA, BOB)

    async def nothing(*args: object) -> None:
        """The counters are written later."""

    monkeypatch.setattr(process.conversation_store, "apply_counters", nothing)
    listener = process.listen(CAY)
    for text in ("one", "two", "three"):
        await process.messages.send(CAY, group, text)
    assert len(received(listener, "new_message")) == 3
    hellos = await asyncio.gather(*[process.conversations.heads_for_hello(user) for user in (ADA, BOB, CAY)])
    heads = [head for hello in hellos for head in hello if head["conversation_id"] == group]
    assert [head["last_rev"] for head in heads] == [3, 3, 3]


async def test_recipients_do_not_come_from_an_outdated_head(start_process: Callable[..., ChatProcess]) -> None:
    """The process has seen no event of the removal; the number that it takes is taken by it."""
    here, there = start_process(), start_process()
    group = await here.group(ADA, BOB, CAY)
    await here.messages.send(ADA, group, "one")
    await there.groups.remove_participant(ADA, group, CAY)
    stored = await here.messages.submit(ADA, group, "two")
    assert (stored.participants, stored.message["seq"]) == ([ADA, BOB], 3)


async def test_removal_by_a_process_of_an_earlier_version_is_noticed(
    process: ChatProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appends no message."""
    group = await process.group(ADA, BOB, CAY)
    await process.messages.send(ADA, group, "one")
    await process.conversation_store.groups.remove(ObjectId(group), ObjectId(ADA), ObjectId(CAY))
    monkeypatch.setattr("service.chat.head_cache.MAX_AGE", 0.0)
    stored = await process.messages.submit(ADA, group, "two")
    assert stored.participants == [ADA, BOB]
