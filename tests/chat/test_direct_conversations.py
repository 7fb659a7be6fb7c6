"""Direct conversations: one for two users, if either creates it, and beside processes of an earlier version."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from bson import ObjectId

from config.settings import Settings
from service.chat.direct_conversations import OLD_INDEX
from service.commands.release import release
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Document, Mongo
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess

DAN = new_id()


async def direct(process: ChatProcess, one: str, other: str) -> tuple[ObjectId, bool]:
    document, created = await process.conversation_store.create_direct(ObjectId(one), ObjectId(other))
    return document["_id"], created


async def test_two_users_have_one_direct_conversation(start_process: Callable[[], ChatProcess]) -> None:
    """Whichever of them opens it, on whichever process, and however many do so at the same time."""
    processes = [start_process() for _ in range(2)]
    found = await asyncio.gather(
        *(direct(process, *users) for process in processes for users in ((ADA, BOB), (BOB, ADA)) for _ in range(3))
    )
    [(conversation_id, _)] = {each for each in found if each[1]}
    assert {conversation_id} == {each[0] for each in found}
    assert 1 == sum(created for _, created in found)
    assert (conversation_id, False) == await direct(processes[0], ADA, BOB)
    assert conversation_id != (await direct(processes[0], ADA, CAY))[0]


class EarlierVersion:
    """What a process of the version before stored: conversations under random ids, found by `direct_key`."""

    def __init__(self, mongo: Mongo) -> None:
        self.conversations = mongo.database["conversations"]
        self._writers = mongo.database["chat_writers"]

    async def start(self) -> None:
        await self.conversations.create_index(
            "direct_key", unique=True, partialFilterExpression={"direct_key": {"$exists": True}}
        )
        await self._writers.insert_one({"_id": "earlier", "at": now(), "alive_at": now()})

    async def open(self, one: str, other: str, minutes_ago: int = 0) -> ObjectId:
        key = ":".join(sorted((one, other)))
        found = await self.conversations.find_one({"direct_key": key})
        if found:
            return ObjectId(found["_id"])
        document: Document = {
            "_id": ObjectId.from_datetime(now() - timedelta(minutes=minutes_ago)) if minutes_ago else ObjectId(),
            "direct_key": key,
            "kind": "direct",
            "title": None,
            "participants": [ObjectId(one), ObjectId(other)],
            "owner_id": ObjectId(one),
            "created_at": now(),
            "last_activity": now(),
            "last": {"seq": 0, "id": None},
            "last_rev": 0,
            "last_deleted": 0,
            "reads": {},
            "version": 0,
        }
        await self.conversations.insert_one(document)
        return ObjectId(document["_id"])

    async def stop(self) -> None:
        await self._writers.delete_one({"_id": "earlier"})


async def test_conversations_of_an_earlier_version_keep_their_ids(
    process: ChatProcess, mongo: Mongo, settings: Settings
) -> None:
    """Both versions find what the other one has created, until the earlier one ends; then its index is dropped."""
    assert settings.mongodb_uri
    earlier = EarlierVersion(mongo)
    await earlier.start()
    old = await earlier.open(ADA, BOB)
    assert not await release(settings.mongodb_uri)
    assert (old, False) == await direct(process, BOB, ADA)
    assert await process.conversation_store.lists.sharing(ADA, [BOB, CAY]) == {BOB}
    # Side by side.
    later = await earlier.open(ADA, CAY)
    assert (later, False) == await direct(process, ADA, CAY)
    new, created = await direct(process, BOB, CAY)
    assert created
    assert new == await earlier.open(CAY, BOB)
    last = await earlier.open(DAN, CAY)
    assert OLD_INDEX in await earlier.conversations.index_information()
    await earlier.stop()
    for _ in range(2):
        assert await release(settings.mongodb_uri)
        assert OLD_INDEX not in await earlier.conversations.index_information()
    for users, conversation_id in (((ADA, BOB), old), ((ADA, CAY), later), ((BOB, CAY), new), ((CAY, DAN), last)):
        assert (conversation_id, False) == await direct(process, *users)
    assert await process.conversation_store.lists.sharing(CAY, [ADA, BOB, DAN, new_id()]) == {ADA, BOB, DAN}
    _, created = await direct(process, ADA, DAN)
    assert created
    assert await earlier.conversations.find_one({"participants": ObjectId(DAN), "direct_key": None})


async def test_an_interrupted_release_is_completed_by_the_next(
    process: ChatProcess, mongo: Mongo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that, the index remains."""
    assert settings.mongodb_uri
    earlier = EarlierVersion(mongo)
    await earlier.start()
    old = [await earlier.open(ADA, other, 10 * number) for number, other in enumerate((BOB, CAY, DAN))]
    await earlier.stop()
    record, calls = process.conversation_store.direct._record, 0

    async def interrupted(conversations: dict[str, ObjectId]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError
        await record(conversations)

    monkeypatch.setattr(process.conversation_store.direct, "_record", interrupted)
    with pytest.raises(asyncio.CancelledError):
        await process.conversation_store.direct.carry_over()
    assert OLD_INDEX in await earlier.conversations.index_information()
    assert await release(settings.mongodb_uri)
    assert OLD_INDEX not in await earlier.conversations.index_information()
    assert old == [(await direct(process, ADA, other))[0] for other in (BOB, CAY, DAN)]
