"""What changes of a group of thousands cost: events and bytes on the bus."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from service.chat.large_groups import MAX_EMBEDDED
from service.common.encoding import dumps
from service.datastores.mongo import Document
from service.realtime.bus import LocalBus
from tests.chat.chat_process import ADA, BOB, ChatProcess, received

MEMBERS = 2000
SEQ = 3000
"""The last message of the group."""
MAX_BYTES = 200_000

NEW = "f" * 24


class RecordingBus(LocalBus):
    """The real one, which also counts what it carries."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[str] = []
        self.bytes = 0

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"", *address: Any) -> None:
        self.types.append(head["type"])
        self.bytes += len(dumps(head)) + len(body)
        super().publish(kind, head, body, *address)


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


@pytest.fixture
async def process(start_process: Any, bus: RecordingBus) -> ChatProcess:
    process: ChatProcess = start_process(bus)
    return process


BATCH = 100


async def large_group(process: ChatProcess, members: int = MEMBERS) -> tuple[str, list[str]]:
    """Create a group in which each member has a read mark of their own; return its id and the members."""
    user_ids = [f"{number:024x}" for number in range(1, members + 1)]
    group = await process.group(*user_ids)
    store, key = process.conversation_store, ObjectId(group)
    reads = {f"reads.{user_id}": seq for seq, user_id in enumerate(user_ids, 1)} if members <= MAX_EMBEDDED else {}
    await store._collection.update_one(
        {"_id": key}, {"$set": reads | {"last": {"seq": SEQ, "id": None}, "last_rev": SEQ}}
    )
    if not reads:
        collection = store._memberships._collection
        memberships = await collection.find({"conversation_id": key}).to_list(None)
        await collection.delete_many({"conversation_id": key})
        # In commands that a busy machine, too, answers before the client's timeout.
        for start in range(0, len(memberships), BATCH):
            batch = [each | {"read": each["place"] + 1} for each in memberships[start : start + BATCH]]
            await collection.insert_many(batch, ordered=False)
    process.bus.types, process.bus.bytes = [], 0  # type: ignore[attr-defined]
    return group, user_ids


async def test_joining_a_large_group_is_announced_with_few_events(process: ChatProcess, bus: RecordingBus) -> None:
    """Only the user who was added gets a read mark; the others know theirs."""
    group, [owner, member, *_] = await large_group(process, MEMBERS - 1)
    known, added = process.listen(member), process.listen(NEW)
    await process.groups.add_participants(owner, group, [NEW])
    assert bus.types == ["new_message", *["conversation_updated"] * 3]
    assert bus.bytes <= MAX_BYTES
    [told_member], [told_added] = received(known, "conversation_updated"), received(added, "conversation_updated")
    numbers = ("participant_count", "last_seq", "last_rev", "last_read_seq", "unread_count", "read_marks")
    assert [told_member["data"][name] for name in numbers] == [MEMBERS, SEQ + 1, SEQ + 1, None, None, None]
    assert [told_added["data"][name] for name in numbers] == [MEMBERS, SEQ + 1, SEQ + 1, SEQ, 0, None]


async def test_users_added_together_take_few_events(process: ChatProcess, bus: RecordingBus) -> None:
    group, [owner, *_] = await large_group(process, 200)
    new = [f"{number:024x}" for number in range(10_000, 10_000 + MEMBERS - 200)]
    listeners = [process.listen(user_id) for user_id in (new[0], new[-1])]
    await process.groups.add_participants(owner, group, new)
    assert bus.types == ["new_message", *["conversation_updated"] * 3]
    assert bus.bytes <= MAX_BYTES
    events = [received(listener) for listener in listeners]
    assert [updated["data"]["last_read_seq"] for _, updated in events] == [SEQ, SEQ]
    event = events[0][0]["data"]["event"]
    assert (event["user_ids"], event["user_count"]) == (new[:100], len(new))


async def test_leaving_a_large_group_is_announced_with_few_events(process: ChatProcess, bus: RecordingBus) -> None:
    """Their number does not depend on that of the members."""
    group, [_, member, *_] = await large_group(process)
    left = process.listen(member)
    await process.groups.remove_participant(member, group, member)
    # To the one who left, the owner, the members, and among them the newest, who gets their read mark.
    assert bus.types == ["new_message", "conversation_removed", *["conversation_updated"] * 3]
    assert bus.bytes <= MAX_BYTES
    assert [event["type"] for event in received(left)] == ["conversation_removed"]


async def test_concurrent_changes_of_a_large_group_share_announcements(process: ChatProcess, bus: RecordingBus) -> None:
    """Thirty leave while one announcement is under way, and each of them is notified."""
    group, user_ids = await large_group(process, 150)
    leaving = user_ids[1:31]
    left = [process.listen(user_id) for user_id in leaving]
    announcer = process.conversations.announcer
    render, stored = announcer._render, asyncio.Event()

    async def render_later(document: Document) -> dict[str, Any]:
        await stored.wait()
        return await render(document)

    announcer._render = render_later
    changes = [asyncio.create_task(process.groups.remove_participant(each, group, each)) for each in leaving]
    async with asyncio.timeout(20):
        while (await process.conversations.get(user_ids[0], group))["participant_count"] > 120:
            await asyncio.sleep(0.01)
    stored.set()
    await asyncio.gather(*changes)
    # One announcement, and another one by those whose change was stored, but not reported to them, when it ended.
    assert len(bus.types) <= 12 + bus.types.count("new_message")
    assert bus.types.count("new_message") == len(leaving)
    assert all("conversation_removed" == received(each)[-1]["type"] for each in left)


@pytest.mark.parametrize(("members", "told"), [(100, True), (101, False)])
async def test_reading_and_typing_are_told_in_conversations_of_at_most_100(
    process: ChatProcess, bus: RecordingBus, members: int, told: bool
) -> None:
    """A user's other devices learn in any case what the user has read."""
    group, [reader, other, *_] = await large_group(process, members)
    own, others = process.listen(reader), process.listen(other)
    await process.conversations.mark_read(reader, group, SEQ)
    await process.conversations.publish_typing(reader, group)
    read = {"type": "read", "conversation_id": group, "data": {"user_id": reader, "seq": SEQ}}
    assert [read] == received(own)
    assert (["read", "typing"] if told else []) == [event["type"] for event in received(others)]
    assert bus.bytes < (10_000 if told else 400)


async def test_each_participant_of_a_small_group_is_told_their_read_mark(process: ChatProcess) -> None:
    """Together with those of the others."""
    group = await process.group(ADA, BOB)
    await process.messages.send(ADA, group, "one")
    listener = process.listen(BOB)
    await process.groups.change(ADA, group, {"title": "New"})
    [event] = received(listener, "conversation_updated")
    numbers = [event["data"][name] for name in ("last_read_seq", "unread_count", "read_marks")]
    assert numbers == [0, 1, {ADA: 1}]
