"""Reads on a process that hears nothing of the conversation: none of its participants is connected there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from service.realtime.redis_bus import RedisBus
from tests.chat.chat_process import ADA, BOB, ChatProcess
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


async def test_a_message_is_read_elsewhere_right_after_its_acknowledgement(
    processes: list[ChatProcess],
) -> None:
    """In the history, the conversation, the list and the hello, although its counters are not written yet."""
    one, two = processes
    conversation = await one.group(ADA, BOB)
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
