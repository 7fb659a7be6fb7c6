"""The follower of changes: each committed change of the wanted collections, at least once, in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.common.times import now
from service.datastores import change_follower
from service.datastores.change_follower import Change, ChangeFollower, NewerFollower, Updates, Wanted
from service.datastores.change_stream import ChangeStream, HistoryLost
from service.datastores.mongo import Mongo

WANTED = (
    Wanted("letters", ("to",), Updates("version", "changed_at", {"version": {"$gt": 1}}, indexed=True)),
    Wanted("people", ("name",)),
    Wanted("groups", ("title",), Updates("version", "changed_at")),
)


class Consumer:
    """Keeps the changes; with `fail`, batches fail."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.batches: list[int] = []
        """How many changes each batch had."""
        self.fail = False
        self._arrived = asyncio.Condition()

    async def handle(self, changes: Sequence[Change]) -> None:
        if self.fail:
            raise ValueError
        async with self._arrived:
            self.changes += changes
            self.batches.append(len(changes))
            self._arrived.notify_all()

    async def ids(self, count: int) -> list[Any]:
        """Wait for `count` changes and return the ids of all."""
        async with asyncio.timeout(15), self._arrived:
            await self._arrived.wait_for(lambda: len(self.changes) >= count)
        return [change.id for change in self.changes]


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
async def follower(mongo: Mongo, consumer: Consumer) -> ChangeFollower:
    follower = ChangeFollower(mongo.database, "tests", WANTED, consumer.handle)
    await follower.prepare()
    return follower


@asynccontextmanager
async def running(follower: ChangeFollower) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(follower.run())
    yield task
    task.cancel()
    await asyncio.wait([task])


async def position(mongo: Mongo) -> dict[str, Any]:
    found = await mongo.database["change_followers"].find_one({"_id": "tests"})
    assert found
    return found


async def stored_position(mongo: Mongo, other_than: Any = None) -> dict[str, Any]:
    """Wait for a token other than the given one."""
    async with asyncio.timeout(15):
        while (found := await position(mongo))["token"] in (None, other_than):
            await asyncio.sleep(0.01)
    return found


async def insert(mongo: Mongo, collection: str, **fields: Any) -> Any:
    return (await mongo.database[collection].insert_one(fields)).inserted_id


async def test_new_and_updated_documents_arrive_in_order(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """With the wanted fields; other collections, and updates of other fields, do not."""
    letters = mongo.database["letters"]
    async with running(follower):
        first = await insert(mongo, "letters", to="An", text="private", version=1)
        await insert(mongo, "others", to="An")
        person = await insert(mongo, "people", name="An", to="?")
        await mongo.database["people"].update_one({"_id": person}, {"$set": {"version": 2}})
        await letters.update_one({"_id": first}, {"$set": {"text": "?"}})
        await letters.update_one({"_id": first}, {"$set": {"text": "!"}, "$inc": {"version": 1}})
        second = await insert(mongo, "letters", to="Bi")
        assert [first, person, first, second] == await consumer.ids(4)
    assert [True, True, False, True] == [change.created for change in consumer.changes]
    assert ["letters", "people", "letters", "letters"] == [change.collection for change in consumer.changes]
    fields = [change.fields for change in consumer.changes]
    assert [{"to": "An", "version": 1}, {"name": "An"}, {"version": 2}, {"to": "Bi"}] == fields
    assert all(abs(change.at - now()) < timedelta(minutes=1) for change in consumer.changes)


async def test_a_change_before_the_first_run_is_not_missed(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """Following begins with the first start, not with the first run, for which a process waits for the lease."""
    created = await insert(mongo, "people", name="An")
    async with running(follower):
        assert [created] == await consumer.ids(1)


async def test_a_new_run_continues_where_the_last_one_stopped(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """What was created in between arrives; what was handled does not come again."""
    async with running(follower):
        first = await insert(mongo, "people", name="An")
        await stored_position(mongo)
    second = await insert(mongo, "people", name="Bi")
    async with running(ChangeFollower(mongo.database, "tests", WANTED, consumer.handle)):
        assert [first, second] == await consumer.ids(2)


async def test_it_has_caught_up_once_a_position_is_stored_again(mongo: Mongo) -> None:
    """And not before: a process may have been killed between handling a batch and storing its position."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: Sequence[Change]) -> None:
        begun.set()
        await go_on.wait()

    follower = ChangeFollower(mongo.database, "tests", WANTED, handle)
    await follower.prepare()
    await insert(mongo, "people", name="An")
    async with running(follower), asyncio.timeout(15):
        await begun.wait()
        assert not follower.caught_up.is_set()
        go_on.set()
        await follower.caught_up.wait()
        assert (await position(mongo))["token"]
    assert not follower.caught_up.is_set()


async def test_a_failed_batch_comes_again(mongo: Mongo, follower: ChangeFollower, consumer: Consumer) -> None:
    """The consumer's error ends the run, for its owner to repeat."""
    consumer.fail = True
    async with running(follower) as task, asyncio.timeout(15):
        created = await insert(mongo, "people", name="An")
        with pytest.raises(ValueError, match=r"^$"):
            await task
    consumer.fail = False
    async with running(follower):
        assert [created] == await consumer.ids(1)


async def test_a_run_that_was_taken_over_stores_no_position(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """It ends at its next batch, and the position of the newer run stands."""
    newer = Consumer()
    async with running(follower) as stale:
        await insert(mongo, "people", name="An")
        await stored_position(mongo)
        async with running(ChangeFollower(mongo.database, "tests", WANTED, newer.handle)), asyncio.timeout(15):
            while (await position(mongo))["epoch"] < 2:
                await asyncio.sleep(0.01)
            created = await insert(mongo, "people", name="Bi")
            with pytest.raises(NewerFollower):
                await stale
            assert [created] == await newer.ids(1)
    assert 2 == (await position(mongo))["epoch"]


@pytest.mark.parametrize("collection", ["letters", "groups"])
async def test_what_a_lost_history_held_is_found_by_time(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer, collection: str
) -> None:
    """Created and updated documents since the stored position, also those that were both, and then everything new."""
    stored = mongo.database[collection]
    old, untouched = (ObjectId.from_datetime(datetime(2020, 1, day, tzinfo=UTC)) for day in (1, 2))
    await stored.insert_many([{"_id": id, "version": 1} for id in (old, untouched)])
    await stored.update_one(
        {"_id": untouched}, {"$set": {"version": 2, "changed_at": datetime(2020, 1, 3, tzinfo=UTC)}}
    )
    new, both = await insert(mongo, collection, version=1), await insert(mongo, collection, version=1)
    # A clock that is ahead.
    await stored.update_one({"_id": old}, {"$set": {"version": 7, "changed_at": now() + timedelta(minutes=5)}})
    await stored.update_one({"_id": both}, {"$set": {"version": 3, "changed_at": now()}})
    await mongo.database["change_followers"].update_one({"_id": "tests"}, {"$set": {"token": {"_data": "8263"}}})
    async with running(follower):
        await consumer.ids(4)
        assert {(new, True, 1), (both, True, 3), (both, False, 3), (old, False, 7)} == {
            (change.id, change.created, change.fields["version"]) for change in consumer.changes
        }
        later = await insert(mongo, collection)
        assert [later] == (await consumer.ids(5))[4:]


async def test_what_is_found_by_time_has_the_time_of_its_creation(mongo: Mongo, consumer: Consumer) -> None:
    """After an outage of days, what is too old to be pushed is not taken for new."""
    follower = ChangeFollower(mongo.database, "tests", [Wanted("people", ())], consumer.handle)
    await follower.prepare()
    lost = {"token": {"_data": "8263"}, "at": datetime(2020, 1, 1, tzinfo=UTC)}
    await mongo.database["change_followers"].update_one({"_id": "tests"}, {"$set": lost})
    created_at = datetime(2021, 1, 1, tzinfo=UTC)
    await mongo.database["people"].insert_one({"_id": ObjectId.from_datetime(created_at)})
    async with running(follower):
        await consumer.ids(1)
    assert created_at == consumer.changes[0].at


async def test_a_history_that_is_lost_during_a_run_is_made_up_for_from_the_last_position(
    mongo: Mongo, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was handled in a run of weeks does not come again; of the last minute it may."""
    handled = ObjectId.from_datetime(datetime(2021, 1, 1, tzinfo=UTC))
    await mongo.database["people"].insert_one({"_id": handled, "name": "An"})
    # The first position includes the last operation before it.
    await insert(mongo, "others")
    follower = ChangeFollower(mongo.database, "tests", [Wanted("people", ())], consumer.handle)
    await follower.prepare()
    began = {"at": datetime(2020, 1, 1, tzinfo=UTC)}
    await mongo.database["change_followers"].update_one({"_id": "tests"}, {"$set": began})
    read, lost = ChangeStream.read, asyncio.Event()

    async def read_or_lose(stream: ChangeStream, *arguments: Any) -> list[dict[str, Any]]:
        if lost.is_set():
            lost.clear()
            raise HistoryLost
        return await read(stream, *arguments)

    monkeypatch.setattr(ChangeStream, "read", read_or_lose)
    async with running(follower):
        before = await insert(mongo, "people", name="Bi")
        await stored_position(mongo)
        lost.set()
        assert [before, before] == await consumer.ids(2)
        after = await insert(mongo, "people", name="Chi")
        assert [before, before, after] == await consumer.ids(3)


@pytest.mark.parametrize("lost", [False, True])
async def test_new_documents_do_not_count_if_only_updates_are_wanted(
    mongo: Mongo, consumer: Consumer, lost: bool
) -> None:
    wanted = Wanted("letters", (), Updates("version", "changed_at", {"version": {"$gt": 1}}), created=False)
    follower = ChangeFollower(mongo.database, "tests", [wanted], consumer.handle)
    began = now() - timedelta(seconds=1)
    await follower.prepare()
    assert began <= await follower.handled_until() <= now()
    letters = mongo.database["letters"]
    first, second = [await insert(mongo, "letters", version=1) for _ in range(2)]
    await letters.update_one({"_id": second}, {"$set": {"version": 2, "changed_at": now()}})
    if lost:
        await mongo.database["change_followers"].update_one({"_id": "tests"}, {"$set": {"token": {"_data": "8263"}}})
    async with running(follower):
        assert [second] == await consumer.ids(1)
        await letters.update_one({"_id": first}, {"$set": {"version": 2, "changed_at": now()}})
        assert [second, first] == await consumer.ids(2)
    assert not any(change.created for change in consumer.changes)


async def test_many_updates_are_found_in_batches(
    mongo: Mongo, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an outage that lasted for hours, with more updates in a minute than fit into one batch."""
    monkeypatch.setattr(change_follower, "BATCH_SIZE", 10)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    documents = [
        {"_id": ObjectId.from_datetime(long_ago + timedelta(seconds=number)), "version": 2, "changed_at": changed_at}
        for number in range(250)
        for changed_at in [now() - timedelta(minutes=number // 25)]
    ]
    await mongo.database["letters"].insert_many(documents)
    follower = ChangeFollower(mongo.database, "tests", WANTED, consumer.handle)
    await follower.prepare()
    since = now() - timedelta(hours=3)
    await mongo.database["change_followers"].update_one(
        {"_id": "tests"}, {"$set": {"token": {"_data": "8263"}, "at": since}}
    )
    async with running(follower):
        assert {document["_id"] for document in documents} == set(await consumer.ids(250))
    assert 250 == len(consumer.changes)


async def test_the_position_advances_while_only_others_change(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that stays where it is would become too old."""
    monkeypatch.setattr(change_follower, "IDLE_STORE_INTERVAL", 0.0)
    async with running(follower):
        first = (await stored_position(mongo))["token"]
        await insert(mongo, "others")
        await stored_position(mongo, other_than=first)
    assert [] == consumer.changes


async def test_lag_is_the_age_of_what_is_not_handled(mongo: Mongo) -> None:
    """It is 0 when everything is."""
    release = asyncio.Event()

    async def handle(_: Sequence[Change]) -> None:
        await release.wait()

    follower = ChangeFollower(mongo.database, "tests", WANTED, handle)
    await follower.prepare()
    async with running(follower), asyncio.timeout(15):
        assert 0 == follower.lag
        await insert(mongo, "people", name="An")
        while follower.lag < 0.3:
            await asyncio.sleep(0.01)
        release.set()
        while follower.lag:
            await asyncio.sleep(0.01)


async def test_a_change_is_handled_within_five_seconds(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """As long as a search may lag behind; on a machine that is not busy it takes milliseconds."""
    async with running(follower):
        for number in range(1, 4):
            began = asyncio.get_running_loop().time()
            await insert(mongo, "people", name="An")
            await consumer.ids(number)
            assert asyncio.get_running_loop().time() - began < 5


async def test_changes_gather_during_a_pause(mongo: Mongo, consumer: Consumer) -> None:
    """The first one does not wait for others."""
    follower = ChangeFollower(mongo.database, "tests", WANTED, consumer.handle, pause=(2.0, 2.0))
    await follower.prepare()
    async with running(follower):
        await mongo.database["people"].insert_one({"name": "first"})
        await consumer.ids(1)
        for number in range(10):
            await mongo.database["people"].insert_one({"name": str(number)})
        await consumer.ids(11)
    assert [1, 10] == consumer.batches


async def test_what_changed_before_it_was_needed_is_not_followed(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """What changed after it was last not needed is, also if it was changed before the answer is known."""
    await insert(mongo, "people", name="before")
    during: list[Any] = []

    async def needed() -> bool:
        if during:
            return True
        during.append(None)
        await insert(mongo, "people", name="asking")
        during.append(await insert(mongo, "people", name="between"))
        return False

    await follower.wait_until(needed, 0.01)
    async with running(follower):
        ids = await consumer.ids(2)
        assert [during[1]] == ids[1:2]
    assert ["asking", "between"] == [change.fields["name"] for change in consumer.changes]


async def test_what_is_needed_all_the_time_continues(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    first = await insert(mongo, "people", name="before")

    async def needed() -> bool:
        return True

    await follower.wait_until(needed, 0.01)
    async with running(follower):
        assert [first] == await consumer.ids(1)
