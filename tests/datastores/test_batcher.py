"""The batcher: timeouts of a batch and of the requests that wait behind it, and the interval of batches."""

import asyncio
from collections.abc import Sequence

import pytest

from service.chat import message_service as module
from service.chat.message_service import MessageService
from service.common.errors import Unavailable
from service.datastores.batcher import Batcher
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, ChatProcess
from tests.conftest import Datastores
from tests.proxy import Proxy

BATCH_TIMEOUT = 0.4
SLOW = 1.0
NEVER = 60.0
"""Seconds that no test waits."""


async def time_to_refusal(messages: MessageService, conversation: str, nonce: str) -> float:
    """Send a message that is refused with Unavailable; return the seconds that took."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await messages.send(ADA, conversation, "Are you there?", nonce)
    return asyncio.get_running_loop().time() - began


async def test_slow_write_times_out_for_its_submitters_and_still_completes(
    mongo: Mongo, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its submitter and those behind it get Unavailable in time, later ones at once; then the batcher works again."""
    async with Proxy(datastores.database(mongo.database.name)) as proxy:
        remote = Mongo(proxy.url)
        monkeypatch.setattr(module, "BATCH_TIMEOUT", BATCH_TIMEOUT)
        process = ChatProcess(remote.database)
        await process.create_indexes()
        conversation = await process.group(ADA, BOB)
        await process.messages.send(ADA, conversation, "Hello")
        listener = process.listen(BOB)
        try:
            proxy.delay = SLOW
            first = asyncio.create_task(time_to_refusal(process.messages, conversation, "first"))
            await asyncio.sleep(BATCH_TIMEOUT / 2)
            assert await time_to_refusal(process.messages, conversation, "behind") < BATCH_TIMEOUT
            assert BATCH_TIMEOUT <= await first < SLOW
            assert await time_to_refusal(process.messages, conversation, "later") < BATCH_TIMEOUT
            proxy.delay = 0
            assert process.messages._writes._shared._task
            await process.messages._writes._shared._task
            again, new = await process.messages.send(ADA, conversation, "Are you there?", "first")
            assert not new
            others = [
                (await process.messages.send(ADA, conversation, "Well?", nonce))[0] for nonce in ("behind", "later")
            ]
            assert [2, 3, 4] == [message["seq"] for message in (again, *others)]
            assert 3 == len([event for event in listener.queue.events() if event.type == "new_message"])
        finally:
            await process.close()
            # Closing the client waits for the server, and the proxy in between runs on this loop.
            await asyncio.to_thread(remote.close)


class Batches:
    """Runs batches. The first one ends when the test sets `go_on`."""

    def __init__(self) -> None:
        self.started: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def run(self, items: Sequence[int]) -> Sequence[int]:
        self.started.append(list(items))
        await self.go_on.wait()
        return items


async def test_items_of_a_rush_share_a_batch_within_the_interval() -> None:
    """That is, those that arrive while the first batch runs, and those that arrive until the next one may start."""
    batches = Batches()
    batcher = Batcher(batches.run, interval=0.3)
    first = batcher.submit(1)
    await asyncio.sleep(0)
    second = batcher.submit(2)
    batches.go_on.set()
    await first
    third = batcher.submit(3)
    assert [2, 3] == await asyncio.gather(second, third)
    assert [[1], [2, 3]] == batches.started


async def test_an_item_without_others_and_a_full_batch_wait_for_no_interval() -> None:
    batches = Batches()
    batches.go_on.set()
    batcher = Batcher(batches.run, interval=NEVER, max_batch=2)
    async with asyncio.timeout(5):
        assert 1 == await batcher.submit(1)
        assert 2 == await batcher.submit(2)
        assert [3, 4, 5, 6] == await asyncio.gather(*map(batcher.submit, (3, 4, 5, 6)))
    assert [[1], [2], [3, 4], [5, 6]] == batches.started


class Steps:
    """Records when batches begin and end, and when their results are handled."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, list[int]]] = []
        self.batcher: Batcher[int, int] = Batcher(self.run, on_results=self.handle)

    async def run(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.steps.append(("begin", list(items)))
        await asyncio.sleep(0.01)
        self.steps.append(("end", list(items)))
        return [-item for item in items]

    def handle(self, items: Sequence[int], results: Sequence[int | Exception]) -> None:
        assert [-item for item in items] == list(results)
        self.steps.append(("handle", list(items)))
        if 13 in items:
            raise ValueError("thirteen")


async def test_the_next_batch_begins_before_the_results_of_the_last_are_handled() -> None:
    """They are handled in the order of the batches, and before the submitters get them."""
    steps = Steps()
    first = steps.batcher.submit(1)
    await asyncio.sleep(0)
    others = [steps.batcher.submit(item) for item in (2, 3)]
    first.add_done_callback(lambda _: steps.steps.append(("done", [1])))
    assert [-1, -2, -3] == await asyncio.gather(first, *others)
    expected = ["begin", "end", "begin", "handle", "done", "end", "handle"]
    assert expected == [step for step, _ in steps.steps]
    assert [1] == steps.steps[3][1]


async def test_results_that_cannot_be_handled_are_an_error_for_their_submitters_alone() -> None:
    steps = Steps()
    first = steps.batcher.submit(13)
    await asyncio.sleep(0)
    second = steps.batcher.submit(2)
    with pytest.raises(ValueError, match="thirteen"):
        await first
    assert -2 == await second
    with pytest.raises(ValueError, match="thirteen"):
        await steps.batcher.submit(13)
