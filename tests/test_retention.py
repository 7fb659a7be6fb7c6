"""Expired documents are deleted, and what refers to them stays correct."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from service.accounts.sessions import SessionStore
from service.common.ids import new_id
from service.common.times import now
from service.datastores import sequenced_log
from service.datastores.mongo import Mongo
from service.notifications import notification_store as store
from service.notifications.models import CHANNEL
from service.realtime.event_stream import EventStream
from service.retention import Retention
from tests.accounts.accounts_process import token_pair
from tests.conftest import Datastores, Run, drop_database
from tests.notifications.service_process import ServiceProcess
from tests.realtime.wire import identity, queued

LONG_AGO = now() - timedelta(days=100)
EXPIRY = now() - timedelta(days=90)


@pytest.fixture
async def process(mongo: Mongo) -> AsyncIterator[ServiceProcess]:
    one = ServiceProcess(mongo.database)
    await one.create_indexes()
    yield one
    await one.close()


async def notify(process: ServiceProcess, user: str, count: int) -> None:
    sender = await process.add_user()
    assert [None] * count == await process.notifications.notify([process.request(user, sender) for _ in range(count)])


async def age(mongo: Mongo, user: str, up_to: int) -> None:
    """Make the user's notifications up to that number 100 days old."""
    collection = mongo.database["notifications"]
    async for document in collection.find({"user_id": ObjectId(user), "seq": {"$lte": up_to}}):
        await collection.delete_one({"_id": document["_id"]})
        old = ObjectId(ObjectId.from_datetime(LONG_AGO).binary[:4] + ObjectId().binary[4:])
        await collection.insert_one(document | {"_id": old, "created_at": LONG_AGO})


async def expire_all(process: ServiceProcess) -> int:
    total = 0
    while deleted := await process.notifications.expire(EXPIRY):
        total += deleted
    return total


class TestNotifications:
    async def test_old_notifications_are_deleted_in_batches(
        self, process: ServiceProcess, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of all users; newer ones stay."""
        monkeypatch.setattr(store, "BATCH_SIZE", 3)
        anna, ben = await process.add_user(), await process.add_user()
        await notify(process, anna, 5)
        await notify(process, ben, 4)
        await age(mongo, anna, 3)
        await age(mongo, ben, 4)
        assert 7 == await expire_all(process)
        page = await process.notifications.page(anna, limit=10, before=None, unread=False)
        assert ([5, 4], None) == ([item.seq for item in page.items], page.next)
        assert [] == (await process.notifications.page(ben, limit=10, before=None, unread=False)).items

    async def test_sequence_numbers_continue_after_deletion(self, process: ServiceProcess, mongo: Mongo) -> None:
        """Also in a process that has never seen the deleted ones."""
        user = await process.add_user()
        await notify(process, user, 4)
        await age(mongo, user, 4)
        await expire_all(process)
        other = ServiceProcess(mongo.database)
        await notify(other, user, 1)
        await notify(process, user, 1)
        await other.close()
        page = await process.notifications.page(user, limit=10, before=None, unread=False)
        assert [6, 5] == [item.seq for item in page.items]

    async def test_a_process_does_not_rely_on_an_outdated_last_number(
        self, process: ServiceProcess, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Later numbers may have been assigned and deleted by others, which leaves the index free."""
        user = await process.add_user()
        await notify(process, user, 1)
        other = ServiceProcess(mongo.database)
        await notify(other, user, 3)
        await age(mongo, user, 4)
        await expire_all(other)
        await other.close()
        monkeypatch.setattr(sequenced_log, "LAST_NUMBER_TTL", 0.0)
        await notify(process, user, 1)
        assert 5 == (await process.read_states.inbox(user)).last_seq

    async def test_deleted_notifications_no_longer_count_as_unread(self, process: ServiceProcess, mongo: Mongo) -> None:
        """Read or not; connected clients receive the new count."""
        user = await process.add_user()
        await notify(process, user, 6)
        page = await process.notifications.page(user, limit=10, before=None, unread=False)
        for index in (1, 4):  # numbers 5 and 2
            await process.notifications.mark_read(user, page.items[index].data.notification_id)
        assert 4 == await process.notifications.unread_count(user)
        await age(mongo, user, 3)
        stream = EventStream(process.registry, identity(user), CHANNEL)
        process.registry.register(stream)
        await expire_all(process)
        assert 2 == await process.notifications.unread_count(user)
        (event,) = [event for event in queued(stream) if event.type == "unread_count"]
        assert b'"unread_count":2' in event.json
        unread = await process.notifications.page(user, limit=10, before=None, unread=True)
        assert [6, 4] == [item.seq for item in unread.items]

    @pytest.mark.parametrize(
        ("seen", "missed", "lost"),
        [(0, [], "no_longer_kept"), (2, [], "no_longer_kept"), (3, [4, 5], None), (5, [], None), (6, [], "unknown_id")],
    )
    async def test_resuming_before_the_oldest_notification_is_a_reset(
        self, process: ServiceProcess, mongo: Mongo, seen: int, missed: list[int], lost: str | None
    ) -> None:
        """Later positions are replayed as usual."""
        user = await process.add_user()
        await notify(process, user, 5)
        await age(mongo, user, 3)
        await expire_all(process)
        replay = await process.notifications.replay(user, seen)
        assert (missed, lost) == ([event.sequence for event in replay.missed], replay.reset_reason)


class TestSessions:
    async def test_expired_and_revoked_sessions_are_deleted(self, mongo: Mongo) -> None:
        sessions = SessionStore(mongo.database)
        await sessions.create_indexes()
        user, ids = new_id(), [new_id() for _ in range(3)]
        for index, session in enumerate(ids):
            ends = datetime.now(UTC) + timedelta(seconds=60 if index == 2 else -1)
            await sessions.add(session, user, token_pair(expires_at=ends), "a browser")
        await sessions.revoke(ids[0], user)
        await sessions.delete_expired()
        remaining = await mongo.database["sessions"].find().to_list(None)
        assert [ids[2]] == [str(document["_id"]) for document in remaining]
        assert 0 == await sessions.delete_expired()


async def test_a_server_deletes_by_its_settings(run: Run, datastores: Datastores) -> None:
    """From its start on: sessions, and notifications by NOTIFICATION_RETENTION_DAYS."""
    uri = datastores.database(f"retention_{new_id()}")
    mongo = Mongo(uri)
    user, sender = new_id(), new_id()
    process = ServiceProcess(mongo.database)
    await process.create_indexes()
    await notify(process, user, 2)
    await age(mongo, user, 1)
    expired = token_pair(expires_at=datetime.now(UTC) - timedelta(days=1))
    await SessionStore(mongo.database).add(new_id(), sender, expired, "")
    run(MONGODB_URI=uri, NOTIFICATION_RETENTION_DAYS="99")
    async with asyncio.timeout(20):
        while [1, 0] != [await mongo.database[name].count_documents({}) for name in ("notifications", "sessions")]:
            await asyncio.sleep(0.05)
    await process.close()
    mongo.close()
    await drop_database(uri)


async def test_each_deletion_is_repeated_until_nothing_is_left() -> None:
    """A failure is retried and does not end the rounds."""
    batches = {"a": [2, 0, 1, 0], "b": [1, 0, 0]}
    done = asyncio.Event()
    failed = False

    async def delete_batch(name: str) -> int:
        nonlocal failed
        if name == "b" and not failed:
            failed = True
            raise ConnectionError
        if not batches[name]:
            done.set()
            return 0
        return batches[name].pop(0)

    retention = Retention({"a": lambda: delete_batch("a"), "b": lambda: delete_batch("b")}, interval=0.01)
    await retention.start()
    async with asyncio.timeout(10):
        await done.wait()
    await retention.close()
    assert failed
    assert [] == batches["a"]
