"""The numbers of notifications: dense, in order, one for each comment and person."""

import asyncio
from collections.abc import Callable

import pytest
from bson import ObjectId

from service.datastores import sequenced_log
from service.datastores.mongo import Mongo
from tests.notifications.service_process import ServiceProcess, new_id

Processes = Callable[[], ServiceProcess]


async def seqs(mongo: Mongo, user_id: str) -> list[int]:
    found = await mongo.database["notifications"].find({"user_id": ObjectId(user_id)}).to_list(None)
    return sorted(document["seq"] for document in found)


async def test_numbers_of_many_processes_have_no_holes(mongo: Mongo, start_process: Processes) -> None:
    """Four processes append for the same two users at once: each user's numbers are 1, 2, 3 … and each is used once."""
    users, sender = [new_id(), new_id()], new_id()

    async def append(process: ServiceProcess) -> None:
        for _ in range(6):
            requests = [process.request(user, sender) for _ in range(5) for user in users]
            appended = await asyncio.gather(*[process.store.append(request) for request in requests])
            assert all(result.created for result in appended)

    await asyncio.gather(*[append(start_process()) for _ in range(4)])
    for user in users:
        assert list(range(1, 121)) == await seqs(mongo, user)


async def test_numbers_follow_the_order_of_appending(process: ServiceProcess) -> None:
    """What one process appends first has the smaller number."""
    user, sender = new_id(), new_id()
    appended = await asyncio.gather(*[process.store.append(process.request(user, sender)) for _ in range(150)])
    assert list(range(1, 151)) == [result.document["seq"] for result in appended]


async def test_repeated_draft_is_found_and_leaves_no_hole(mongo: Mongo, process: ServiceProcess) -> None:
    """A comment that was told of before keeps its number; what is appended with it gets the next ones."""
    user, sender = new_id(), new_id()
    old = process.request(user, sender)
    await process.store.append(old)
    requests = [process.request(user, sender), old, process.request(user, sender), old, process.request(user, sender)]
    appended = await asyncio.gather(*[process.store.append(request) for request in requests])
    assert [(2, True), (1, False), (3, True), (1, False), (4, True)] == [
        (result.document["seq"], result.created) for result in appended
    ]
    assert [1, 2, 3, 4] == await seqs(mongo, user)


async def test_draft_repeated_within_one_write_is_one(mongo: Mongo, process: ServiceProcess) -> None:
    """The same comment twice in what is written together is one notification."""
    user = new_id()
    request = process.request(user, new_id())
    appended = await asyncio.gather(*[process.store.append(request) for _ in range(3)])
    assert [True, False, False] == [result.created for result in appended]
    assert [1] == await seqs(mongo, user)


async def test_same_drafts_from_many_processes_are_stored_once(mongo: Mongo, start_process: Processes) -> None:
    """Four processes pay the same debts at once: each person has one notification for each comment."""
    user, sender = new_id(), new_id()
    processes = [start_process() for _ in range(4)]
    requests = [processes[0].request(user, sender) for _ in range(20)]
    await asyncio.gather(*[process.store.append(request) for process in processes for request in requests])
    assert list(range(1, 21)) == await seqs(mongo, user)


async def test_last_is_found_above_a_hint_that_lags(
    mongo: Mongo, start_process: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint that was never raised costs a longer read and nothing else."""
    monkeypatch.setattr(sequenced_log, "PAGE", 16)
    user, sender = new_id(), new_id()
    writer, reader = start_process(), start_process()
    await asyncio.gather(*[writer.store.append(writer.request(user, sender)) for _ in range(60)])
    await mongo.database["inboxes"].delete_many({})
    assert 60 == await reader.store.last(user, 0)
    assert 60 == await reader.store.last(user, 59)
    assert 60 == await reader.store.last(user, 60)
    appended = await reader.store.append(reader.request(user, sender))
    assert 61 == appended.document["seq"]


async def test_other_person_may_be_told_of_the_same_comment(process: ServiceProcess) -> None:
    """The key is the comment and the person, not the comment alone."""
    comment_id, sender = new_id(), new_id()
    requests = [process.request(new_id(), sender, comment_id=comment_id) for _ in range(2)]
    appended = await asyncio.gather(*[process.store.append(request) for request in requests])
    assert [True, True] == [result.created for result in appended]
