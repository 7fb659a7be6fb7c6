"""`release` carries over a database of the version before: groups whose document lists all participants."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from config.settings import Settings
from service.chat.membership_store import MembershipStore
from service.commands.release import CannotRelease, release
from service.common.errors import Unavailable
from service.common.times import now
from service.datastores.mongo import Document, Mongo
from service.datastores.update_and_find import update_and_find
from tests.chat.chat_process import ChatProcess

PEOPLE = [f"{number:024x}" for number in range(1, 131)]
OWNER, ADMIN, EARLY, LATE, LEFT, REMOVED = PEOPLE[0], PEOPLE[1], PEOPLE[2], PEOPLE[129], "e" * 24, "f" * 24
CREATED = datetime(2026, 1, 2, tzinfo=UTC)
JOINED = CREATED + timedelta(days=3)
WATCHED = (OWNER, ADMIN, EARLY, LATE)


def old_group(**changes: Any) -> Document:
    """A group of 130 as the version before stored it: the last one has joined after the third message."""
    return {
        "_id": ObjectId(),
        "kind": "group",
        "title": "A group",
        "participants": [ObjectId(user) for user in PEOPLE],
        "owner_id": ObjectId(OWNER),
        "admins": [ObjectId(ADMIN)],
        "created_at": CREATED,
        "last_activity": JOINED,
        "last": {"seq": 0, "id": None},
        "last_rev": 0,
        "last_deleted": 0,
        "history": "since_joined",
        "reads": {EARLY: 2, OWNER: 1},
        "starts": {LATE: 3},
        "joined": [{"at": JOINED, "users": [ObjectId(LATE)]}],
        "former": [
            {"user": ObjectId(LEFT), "removed_at": None},
            {"user": ObjectId(REMOVED), "removed_at": JOINED},
        ],
        "version": 7,
    } | changes


async def seen(process: ChatProcess, group: str) -> list[Any]:
    """Return everything that four of its participants see of a group."""
    found: list[Any] = []
    for user in WATCHED:
        found += [
            await process.conversations.get(user, group),
            await process.conversations.page(user, 10, None),
            await process.conversations.heads_for_hello(user),
            await process.messages.history(user, group, None, 50),
            await all_participants(process, user, group),
        ]
    return found


async def all_participants(process: ChatProcess, user: str, group: str) -> list[dict[str, Any]]:
    first, cursor = await process.conversations.participants(user, group, 100, None)
    rest, end = await process.conversations.participants(user, group, 100, cursor)
    assert end is None
    return first + rest


async def filled(process: ChatProcess, mongo: Mongo, document: Document) -> str:
    """Store the group, with five messages."""
    await process.create_indexes()
    await mongo.database["conversations"].insert_one(document)
    group = str(document["_id"])
    for number in range(5):
        await process.messages.send(ADMIN, group, f"m{number}")
    await process.messages.flush_counters()
    return group


@pytest.mark.parametrize(
    "missing",
    [(), ("version", "history", "admins", "joined", "starts", "former", "last_deleted")],
    ids=["1.0", "first"],
)
async def test_groups_of_the_version_before_are_carried_over(
    settings: Settings, mongo: Mongo, missing: tuple[str, ...]
) -> None:
    """Their participants see what they saw; a group that is small enough is left as it is. Idempotent."""
    assert settings.mongodb_uri
    process = ChatProcess(mongo.database)
    document = {name: value for name, value in old_group().items() if name not in missing}
    group = await filled(process, mongo, document)
    small = old_group(participants=[ObjectId(user) for user in PEOPLE[:100]])
    await mongo.database["conversations"].insert_one(small)
    before = await seen(process, group)
    for _ in range(2):
        await release(settings.mongodb_uri)
    stored = await mongo.database["conversations"].find_one({"_id": ObjectId(group)})
    assert stored
    assert stored["participants"] == []
    assert {"reads", "starts", "joined", "former"}.isdisjoint(stored)
    assert small == await mongo.database["conversations"].find_one({"_id": small["_id"]})
    assert before == await seen(ChatProcess(mongo.database), group)
    await process.close()


@pytest.mark.parametrize("stored", [50, 132])
async def test_an_interrupted_release_is_completed_by_the_next(
    settings: Settings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    """It ends when some memberships are stored, or all, with those of who has left. Nobody has noticed anything, and
    everybody's read mark is kept."""
    assert settings.mongodb_uri
    process = ChatProcess(mongo.database)
    group = await filled(process, mongo, old_group())
    before = await seen(process, group)
    insert_new = MembershipStore._insert_new

    async def broken(self: MembershipStore, documents: list[Document]) -> list[int]:
        await insert_new(self, documents[:stored])
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(MembershipStore, "_insert_new", broken)
        with pytest.raises(CannotRelease):
            await release(settings.mongodb_uri)
    assert await mongo.database["memberships"].count_documents({}) == stored
    await release(settings.mongodb_uri)
    assert await mongo.database["memberships"].count_documents({}) == 132
    assert before == await seen(process, group)
    await process.close()


@pytest.mark.parametrize("format", [1, 2])
async def test_groups_are_left_as_they_are_while_earlier_versions_run(
    settings: Settings, mongo: Mongo, format: int
) -> None:
    """Their processes would not find them any more."""
    assert settings.mongodb_uri
    group = old_group()
    await mongo.database["conversations"].insert_one(group)
    written = {"format": format} if format > 1 else {}
    await mongo.database["chat_writers"].insert_one({"_id": "earlier", "at": now(), "alive_at": now(), **written})
    assert not await release(settings.mongodb_uri)
    assert group == await mongo.database["conversations"].find_one({"_id": group["_id"]})
    await mongo.database["chat_writers"].delete_one({"_id": "earlier"})
    assert await release(settings.mongodb_uri)
    stored = await mongo.database["conversations"].find_one({"_id": group["_id"]})
    assert stored
    assert stored["participant_count"] == len(PEOPLE)


async def test_who_had_left_returns_only_by_an_invitation(settings: Settings, mongo: Mongo) -> None:
    assert settings.mongodb_uri
    process = ChatProcess(mongo.database)
    group = await filled(process, mongo, old_group())
    await release(settings.mongodb_uri)
    document = await process.conversation_store.find(ObjectId(group))
    assert document
    former = {ObjectId(LEFT), ObjectId(REMOVED)}
    assert await process.conversation_store.groups.left(document, [*former, ObjectId(OWNER)]) == former
    token = (await process.invitations.invite(OWNER, group))["token"]
    assert (await process.invitations.accept(REMOVED, token))["participant_count"] == 131
    await process.close()


async def test_read_mark_that_is_set_during_the_release_is_kept(
    settings: Settings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process of the version before, after the release has read the group and before it changes it."""
    process = ChatProcess(mongo.database)
    group = await filled(process, mongo, old_group())

    async def after_a_read_mark(*args: Any) -> Document | None:
        monkeypatch.undo()
        assert await process.conversation_store.mark_read(ObjectId(group), ObjectId(EARLY), 4)
        return await update_and_find(*args)

    monkeypatch.setattr("service.chat.large_groups.update_and_find", after_a_read_mark)
    await process.conversation_store.groups.large.convert(ObjectId(group))
    shown = await process.conversations.get(EARLY, group)
    assert (shown["last_read_seq"], shown["unread_count"]) == (4, 1)
    await process.close()


async def test_release_refuses_to_run_beside_the_first_versions(settings: Settings, mongo: Mongo) -> None:
    """They have another bus. Their marks have no `alive_at`; one that was killed some minutes ago is no obstacle, but
    counts as an earlier version."""
    assert settings.mongodb_uri
    group = old_group()
    await mongo.database["conversations"].insert_one(group)
    writers = mongo.database["chat_writers"]
    await writers.insert_one({"_id": "first", "at": now()})
    with pytest.raises(CannotRelease, match="cannot run beside this one"):
        await release(settings.mongodb_uri)
    assert {"chat_writers", "conversations"} == set(await mongo.database.list_collection_names())
    await writers.update_one({"_id": "first"}, {"$set": {"at": now() - timedelta(minutes=2)}})
    assert not await release(settings.mongodb_uri)
    assert group == await mongo.database["conversations"].find_one({"_id": group["_id"]})
    await writers.delete_one({"_id": "first"})
    assert await release(settings.mongodb_uri)
