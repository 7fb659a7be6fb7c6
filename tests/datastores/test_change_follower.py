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
from service.datastores.change_follower import Change, ChangeFollower, NewerFollower, Wanted
from service.datastores.mongo import Mongo

WANTED = (
    Wanted("letters", ("to",), "version", lambda since: {"changed_at": {"$gte": since}}),
    Wanted("people", ("name",)),
)


class Consumer:
    """Keeps the changes; with `fail`, batches fail."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.fail = False
        self._arrived = asyncio.Condition()

    async def handle(self, changes: Sequence[Change]) -> None:
        if self.fail:
            raise ValueError
        async with self._arrived:
            self.changes += changes
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
    fields = [{name: change.fields[name] for name in change.fields if name != "_id"} for change in consumer.changes]
    assert [{"to": "An"}, {"name": "An", "to": "?"}, {"version": 2}, {"to": "Bi"}] == fields
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


async def test_what_a_lost_history_held_is_found_by_time(
    mongo: Mongo, follower: ChangeFollower, consumer: Consumer
) -> None:
    """Created and updated documents since the stored position, and then everything new."""
    database = mongo.database
    old, untouched = (ObjectId.from_datetime(datetime(2020, 1, day, tzinfo=UTC)) for day in (1, 2))
    long_ago = {"to": "An", "version": 1, "changed_at": datetime(2020, 1, 3, tzinfo=UTC)}
    await database["letters"].insert_many([{"_id": id, **long_ago} for id in (old, untouched)])
    await database["letters"].update_one({"_id": old}, {"$set": {"version": 7, "changed_at": now()}})
    new = await insert(mongo, "letters", to="Bi", version=1, changed_at=now())
    await database["change_followers"].update_one({"_id": "tests"}, {"$set": {"token": {"_data": "8263"}}})
    async with running(follower):
        await consumer.ids(2)
        assert {(new, True), (old, False)} == {(change.id, change.created) for change in consumer.changes}
        assert 7 == next(change.fields["version"] for change in consumer.changes if not change.created)
        later = await insert(mongo, "letters", to="Cu")
        assert later in (await consumer.ids(3))[2:]


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


async def test_a_change_is_handled_within_a_second(mongo: Mongo, follower: ChangeFollower, consumer: Consumer) -> None:
    async with running(follower):
        for number in range(1, 4):
            began = asyncio.get_running_loop().time()
            await insert(mongo, "people", name="An")
            await consumer.ids(number)
            assert asyncio.get_running_loop().time() - began < 1
