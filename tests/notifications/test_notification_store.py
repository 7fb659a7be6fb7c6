"""Notification numbers: without gaps, in order, one per comment and user."""

import asyncio

import pytest
from bson import ObjectId

from service.common.ids import new_id
from service.datastores import sequenced_log
from service.datastores.mongo import Mongo
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess


async def seqs(mongo: Mongo, user_id: str) -> list[int]:
    found = await mongo.database["notifications"].find({"user_id": ObjectId(user_id)}).to_list(None)
    return sorted(document["seq"] for document in found)


async def test_concurrent_appends_of_several_processes_leave_no_gaps(mongo: Mongo, start_process: StartProcess) -> None:
    users, sender = [new_id(), new_id()], new_id()

    async def append(process: ServiceProcess) -> None:
        for _ in range(6):
            requests = [process.request(user, sender) for _ in range(5) for user in users]
            appended = await asyncio.gather(*[process.store.append(request) for request in requests])
            assert all(result.created for result in appended)

    await asyncio.gather(*[append(start_process()) for _ in range(4)])
    for user in users:
        assert list(range(1, 121)) == await seqs(mongo, user)


async def test_numbers_follow_the_order_of_appends(process: ServiceProcess) -> None:
    user, sender = new_id(), new_id()
    appended = await asyncio.gather(*[process.store.append(process.request(user, sender)) for _ in range(150)])
    assert list(range(1, 151)) == [result.document["seq"] for result in appended]


async def test_a_repeated_request_keeps_its_number_and_leaves_no_gap(mongo: Mongo, process: ServiceProcess) -> None:
    """The requests of the same batch get the next numbers."""
    user, sender = new_id(), new_id()
    old = process.request(user, sender)
    await process.store.append(old)
    requests = [process.request(user, sender), old, process.request(user, sender), old, process.request(user, sender)]
    appended = await asyncio.gather(*[process.store.append(request) for request in requests])
    assert [(2, True), (1, False), (3, True), (1, False), (4, True)] == [
        (result.document["seq"], result.created) for result in appended
    ]
    assert [1, 2, 3, 4] == await seqs(mongo, user)


async def test_a_request_repeated_within_a_batch_is_stored_once(mongo: Mongo, process: ServiceProcess) -> None:
    user = new_id()
    request = process.request(user, new_id())
    appended = await asyncio.gather(*[process.store.append(request) for _ in range(3)])
    assert [True, False, False] == [result.created for result in appended]
    assert [1] == await seqs(mongo, user)


async def test_concurrent_requests_of_several_processes_are_stored_once(
    mongo: Mongo, start_process: StartProcess
) -> None:
    user, sender = new_id(), new_id()
    processes = [start_process() for _ in range(4)]
    requests = [processes[0].request(user, sender) for _ in range(20)]
    await asyncio.gather(*[process.store.append(request) for process in processes for request in requests])
    assert list(range(1, 21)) == await seqs(mongo, user)


async def test_the_last_number_is_found_above_an_outdated_hint(
    mongo: Mongo, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing hint only costs a longer read."""
    monkeypatch.setattr(sequenced_log, "PAGE", 16)
    user, sender = new_id(), new_id()
    writer, reader = start_process(), start_process()
    await asyncio.gather(*[writer.store.append(writer.request(user, sender)) for _ in range(60)])
    await mongo.database["inboxes"].delete_many({})
    assert 60 == await reader.store.last_seq(user, 0)
    assert 60 == await reader.store.last_seq(user, 59)
    assert 60 == await reader.store.last_seq(user, 60)
    appended = await reader.store.append(reader.request(user, sender))
    assert 61 == appended.document["seq"]


async def test_two_users_can_be_notified_of_the_same_comment(process: ServiceProcess) -> None:
    """The identity is the comment and the user."""
    comment_id, sender = new_id(), new_id()
    requests = [process.request(new_id(), sender, comment_id=comment_id) for _ in range(2)]
    appended = await asyncio.gather(*[process.store.append(request) for request in requests])
    assert [True, True] == [result.created for result in appended]
