"""Reads on a process that hears nothing of the conversation: none of its participants is connected there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from service.realtime.event_stream import EventStream
from service.realtime.redis_bus import RedisBus
from tests.chat.chat_process import ADA, BOB, ChatProcess, received, wait_for_events
from tests.conftest import Datastores


@pytest.fixture
async def processes(
    datastores: Datastores, start_process: Callable[..., ChatProcess]
) -> AsyncIterator[list[ChatProcess]]:
    """Two, on one Redis, whose counters are not written before the test ends."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(2):
            bus = RedisBus(datastores.redis_url)
            stack.push_async_callback(bus.close)
            process = start_process(bus)

            async def held(*args: object) -> None:
                """Write no counters."""

            process.conversation_store.apply_counters = held  # type: ignore[method-assign]
            await bus.start()
            started.append(process)
        yield started


def others(count: int) -> list[str]:
    return [f"{number:024x}" for number in range(1, count + 1)]


@pytest.mark.parametrize("members", [2, 20])
async def test_a_message_is_read_elsewhere_right_after_its_acknowledgement(
    processes: list[ChatProcess], members: int
) -> None:
    """In the history, the conversation, the list and the hello, although its counters are not written yet."""
    one, two = processes
    conversation = await one.group(ADA, BOB, *others(members - 2))
    sent, _ = await one.messages.send(ADA, conversation, "hello")
    while one.bus.outbox_size:
        await asyncio.sleep(0.001)
    assert [sent["id"]] == [
        message["id"] for message in (await two.messages.history(BOB, conversation, None, 10)).items
    ]
    assert 1 == (await two.conversations.get(BOB, conversation))["last_seq"]
    [listed], _ = await two.conversations.page(BOB, 10, None)
    [head] = await two.conversations.heads_for_hello(BOB)
    assert [1, 1] == [listed["last_seq"], head["last_seq"]]


@pytest.mark.parametrize("members", [16, 17, 100, 120])
async def test_a_member_who_connects_hears_a_group_of_any_size(processes: list[ChatProcess], members: int) -> None:
    """The process subscribes to its room with the hello, however the participants are stored."""
    one, two = processes
    conversation = await one.group(ADA, BOB, *others(members - 2))
    stream = two.listen(BOB)
    await two.dispatcher.subscriptions.wait(BOB)
    await two.conversations.heads_for_hello(BOB)
    await one.messages.send(ADA, conversation, "hello")
    await until_received(stream, "hello")


async def test_a_group_is_heard_wherever_its_members_are_connected(processes: list[ChatProcess]) -> None:
    """One of 16 that grows to 17, from then on by its room: by those who were there, the new one, and one who connects
    afterwards; not by a member who was removed."""
    one, two = processes
    old, new, late = others(15)[0], others(16)[15], others(15)[1]
    streams = {user: two.listen(user) for user in (BOB, old, new)}
    for user in (BOB, old, new):
        await two.dispatcher.subscriptions.wait(user)
        await two.conversations.heads_for_hello(user)
    conversation = await one.group(ADA, BOB, *others(14))
    await one.messages.send(ADA, conversation, "sixteen")
    await wait_for_events(streams[old], "new_message", 1)
    await one.groups.add_participants(ADA, conversation, [new])
    await one.messages.send(ADA, conversation, "seventeen")
    await until_received(streams[new], "seventeen")
    await until_received(streams[old], "seventeen")
    streams[late] = two.listen(late)
    await two.dispatcher.subscriptions.wait(late)
    await two.conversations.heads_for_hello(late)
    await one.groups.remove_participant(ADA, conversation, old)
    await one.messages.send(ADA, conversation, "after the removal")
    for user in (BOB, new, late):
        await until_received(streams[user], "after the removal")
    assert "after the removal" not in contents(streams[old])
    assert ["sixteen", "seventeen"] == contents(streams[old])
    assert ["sixteen", "seventeen", "after the removal"] == contents(streams[BOB])
    assert not any(received(stream, "reset") for stream in streams.values())


def contents(stream: EventStream) -> list[str]:
    return [event["data"]["content"] for event in received(stream, "new_message") if event["data"]["content"]]


async def until_received(stream: EventStream, content: str) -> None:
    async with asyncio.timeout(10):
        while content not in contents(stream):
            await asyncio.sleep(0.01)
