"""Changes of conversations are announced, even if that fails at first or their process is killed before."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.chat.conversation_announcer import RECOVERY_AGE
from service.chat.group_change import UNANNOUNCED, UNANNOUNCED_REMOVALS
from service.common.errors import NotFound, Unavailable
from service.common.times import now
from service.datastores.mongo import Document
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess, received, wait_for_events

Change = Callable[[ChatProcess, str], Awaitable[object]]

CHANGES: dict[str, tuple[Change, str, dict[str, Any]]] = {
    "rename": (
        lambda process, group: process.groups.change(ADA, group, {"title": "New"}),
        "conversation_updated",
        {"title": "New", "participant_ids": [ADA, BOB, CAY]},
    ),
    "add": (
        lambda process, group: process.groups.add_participants(ADA, group, [DAN]),
        "conversation_updated",
        {"participant_ids": [ADA, BOB, CAY, DAN]},
    ),
    "remove": (
        lambda process, group: process.groups.remove_participant(ADA, group, BOB),
        "conversation_updated",
        {"participant_ids": [ADA, CAY]},
    ),
    "leave": (
        lambda process, group: process.groups.remove_participant(BOB, group, BOB),
        "conversation_updated",
        {"participant_ids": [ADA, CAY]},
    ),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> tuple[Change, str, dict[str, Any]]:
    return CHANGES[request.param]


async def document_of(process: ChatProcess, group: str) -> Document:
    document = await process.conversation_store.find(ObjectId(group))
    assert document
    return document


async def marks_removed(process: ChatProcess, group: str) -> None:
    async with asyncio.timeout(10):
        while UNANNOUNCED in await document_of(process, group):
            await asyncio.sleep(0.01)


async def make_old(process: ChatProcess) -> None:
    """Make all marks so old that a recovery takes them for those of a killed process."""
    aged = {"$set": {UNANNOUNCED: now() - RECOVERY_AGE - timedelta(seconds=1)}}
    await process.conversation_store._collection.update_many({UNANNOUNCED: {"$exists": True}}, aged)


def unavailable_once(target: Any, method: str) -> None:
    original = getattr(target, method)

    async def patched(*args: Any) -> Any:
        setattr(target, method, original)
        raise Unavailable

    setattr(target, method, patched)


async def test_change_is_announced_although_it_failed_at_first(
    process: ChatProcess, change: tuple[Change, str, dict[str, Any]]
) -> None:
    """The caller gets Unavailable, and does not repeat the request."""
    apply, type, expected = change
    group = await process.group(ADA, BOB, CAY)
    await process.conversations.start()
    removed, other = process.listen(BOB), process.listen(CAY)
    unavailable_once(process.conversations.announcer, "_render")
    with pytest.raises(Unavailable):
        await apply(process, group)
    [event] = await wait_for_events(other, type)
    assert expected.items() <= event["data"].items()
    if BOB not in expected["participant_ids"]:
        assert [event["type"] for event in received(removed)] == ["conversation_removed"]


async def test_change_of_a_killed_process_is_announced_by_another(
    start_process: Callable[..., ChatProcess], change: tuple[Change, str, dict[str, Any]]
) -> None:
    """It was killed right after the write."""
    apply, type, expected = change
    killed, running = start_process(), start_process()
    group = await killed.group(ADA, BOB, CAY)
    await killed.conversations.announcer._clear_marks()

    async def cancel(*args: object) -> None:
        raise asyncio.CancelledError

    killed.conversations.announcer.announce = cancel  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await apply(killed, group)
    removed, other = running.listen(BOB), running.listen(CAY)
    await make_old(running)
    await running.conversations.announcer._recover()
    [event] = received(other, type)
    assert expected.items() <= event["data"].items()
    if BOB not in expected["participant_ids"]:
        assert [event["type"] for event in received(removed)] == ["conversation_removed"]
    assert not {UNANNOUNCED, UNANNOUNCED_REMOVALS} & (await document_of(running, group)).keys()


async def test_new_conversation_of_a_killed_process_is_announced(start_process: Callable[..., ChatProcess]) -> None:
    """A group and a direct conversation."""
    killed, running = start_process(), start_process()
    await killed.conversation_store.create_group(ObjectId(ADA), [ObjectId(BOB)], "A group")
    await killed.conversation_store.create_direct(ObjectId(BOB), ObjectId(ADA))
    listener = running.listen(BOB)
    await make_old(running)
    await running.conversations.announcer._recover()
    assert {event["data"]["kind"] for event in received(listener, "conversation_updated")} == {"group", "direct"}


async def test_repeated_request_announces_the_first_one(start_process: Callable[..., ChatProcess]) -> None:
    """The process that stored it was killed; the repetition finds nothing to do."""
    killed, running = start_process(), start_process()
    group = await killed.group(ADA, BOB, CAY)
    await killed.conversations.announcer._clear_marks()
    store = killed.conversation_store
    await running.conversations.start()
    await store.groups.add(await document_of(killed, group), ObjectId(ADA), [ObjectId(DAN)])
    added = running.listen(DAN)
    await running.groups.add_participants(ADA, group, [DAN])
    assert len(received(added, "conversation_updated")) == 1
    await store.groups.remove(ObjectId(group), ObjectId(ADA), ObjectId(BOB))
    removed = running.listen(BOB)
    with pytest.raises(NotFound):
        await running.groups.remove_participant(ADA, group, BOB)
    await wait_for_events(removed, "conversation_removed")
    direct, _ = await store.create_direct(ObjectId(BOB), ObjectId(ADA))
    await running.conversations.create(BOB, [ADA], None)
    assert [event["conversation_id"] for event in received(removed, "conversation_updated")] == [str(direct["_id"])]


async def test_mark_of_a_newer_change_is_kept(process: ChatProcess) -> None:
    """The older one has been announced, the newer one has not."""
    group = await process.group(ADA, BOB)
    await process.groups.change(ADA, group, {"title": "Older"})
    document = await document_of(process, group)
    await process.conversation_store.groups.change(document, ObjectId(ADA), {"title": "Newer"})
    await process.conversations.announcer._clear_marks()
    assert UNANNOUNCED in await document_of(process, group)


async def test_marks_are_removed_after_the_announcement(process: ChatProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the background, for many conversations at once."""
    monkeypatch.setattr("service.chat.conversation_announcer.CLEAR_DELAY", 0.05)
    await process.conversations.start()
    groups = [await process.group(ADA, BOB) for _ in range(5)]
    await process.groups.remove_participant(ADA, groups[0], BOB)
    for group in groups:
        await marks_removed(process, group)
    assert UNANNOUNCED_REMOVALS not in await document_of(process, groups[0])


async def test_conversation_that_cannot_be_announced_does_not_hold_up_the_others(process: ChatProcess) -> None:
    """Nor is it forgotten."""
    groups = [await process.group(ADA, BOB) for _ in range(3)]
    listener = process.listen(BOB)
    announcer = process.conversations.announcer
    render = announcer._render

    async def render_others(document: Document) -> Any:
        if str(document["_id"]) == groups[1]:
            raise RuntimeError
        return await render(document)

    announcer._render = render_others
    for group in groups:
        announcer.retry(ObjectId(group))
    with pytest.raises(RuntimeError):
        await announcer._announce_stored(list(announcer._retries))
    assert {event["conversation_id"] for event in received(listener)} == {groups[0], groups[2]}
    assert announcer._retries == {ObjectId(groups[1])}
