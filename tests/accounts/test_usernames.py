"""Usernames: claimed before they are given to a user, also if a process is killed in between."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from config.settings import Settings
from service.accounts import users as users_module
from service.accounts.usernames import OLD_INDEX
from service.accounts.users import User, UserStore
from service.chat.writer_checkpoints import WriterCheckpoints
from service.commands.release import release
from service.common.errors import Unavailable, UsernameTaken
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess


async def add(users: UserStore, username: str, **options: str) -> str:
    return (await users.add(username, username, "a hash", **options)).id


async def id_of(users: UserStore, username: str) -> str | None:
    user = await users.by_username(username)
    return user.id if user else None


def fail_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """The next call fails before it has any effect, as if the process was killed there."""
    original: Callable[..., Any] = getattr(owner, name)

    async def fails(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(owner, name, original)
        raise Unavailable

    monkeypatch.setattr(owner, name, fails)


async def test_a_registration_that_was_interrupted_blocks_no_username(process: AccountsProcess) -> None:
    """Of several that come after it, one succeeds."""
    abandoned = await process.users.usernames.claim("an", ObjectId(), is_new=True)
    assert await process.users.by_username("an") is None
    results = await asyncio.gather(*(process.users.add("an", "An", "") for _ in range(8)), return_exceptions=True)
    [user] = [result for result in results if isinstance(result, User)]
    assert 7 == sum(isinstance(result, UsernameTaken) for result in results)
    assert str(abandoned) == user.id == await id_of(process.users, "an")


async def test_an_interrupted_creation_under_a_given_id_is_nobody_elses(process: AccountsProcess) -> None:
    """The id belongs to somebody of another site: a user who registers must not become them."""
    given = new_id()
    await process.users.usernames.claim("an", ObjectId(given))
    with pytest.raises(UsernameTaken):
        await add(process.users, "an")
    with pytest.raises(UsernameTaken):
        await add(process.users, "an", user_id=new_id())
    assert given == await add(process.users, "an", user_id=given)


async def test_a_given_id_does_not_take_an_interrupted_registration(process: AccountsProcess) -> None:
    await process.users.usernames.claim("an", ObjectId(), is_new=True)
    with pytest.raises(UsernameTaken):
        await add(process.users, "an", user_id=new_id())


async def test_a_renamed_user_frees_the_former_username(process: AccountsProcess) -> None:
    an = await add(process.users, "an")
    await process.users.change_profile(an, {"username": "anna"})
    assert (None, an) == (await id_of(process.users, "an"), await id_of(process.users, "anna"))
    other = await add(process.users, "an")
    with pytest.raises(UsernameTaken):
        await process.users.change_profile(an, {"username": "an"})
    with pytest.raises(UsernameTaken):
        await process.users.change_profile(other, {"username": "anna"})
    await process.users.change_profile(an, {"username": "ann"})
    assert other == await id_of(process.users, "an")
    assert await add(process.users, "anna")


async def test_a_rename_that_was_interrupted_after_the_claim_can_be_repeated(
    process: AccountsProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then, nobody else gets either username; after another rename, the claimed one is free."""
    an = await add(process.users, "an")
    fail_before(monkeypatch, users_module, "update_and_find")
    with pytest.raises(Unavailable):
        await process.users.change_profile(an, {"username": "anna"})
    assert (an, None) == (await id_of(process.users, "an"), await id_of(process.users, "anna"))
    for username in ("an", "anna"):
        with pytest.raises(UsernameTaken):
            await add(process.users, username)
    await process.users.change_profile(an, {"username": "ann"})
    assert await add(process.users, "anna")
    await process.users.change_profile(an, {"username": "an"})
    assert (an, None) == (await id_of(process.users, "an"), await id_of(process.users, "ann"))


async def test_a_rename_that_was_interrupted_before_the_release_blocks_no_username(
    process: AccountsProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    an = await add(process.users, "an")
    fail_before(monkeypatch, process.users.usernames, "release")
    with pytest.raises(Unavailable):
        await process.users.change_profile(an, {"username": "anna"})
    other = await add(process.users, "an")
    assert (other, an) == (await id_of(process.users, "an"), await id_of(process.users, "anna"))
    with pytest.raises(UsernameTaken):
        await process.users.change_profile(an, {"username": "an"})


async def test_a_deletion_that_was_interrupted_before_the_release_can_be_run_again(
    process: AccountsProcess, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing has the username any more."""
    an = await add(process.users, "an")
    await process.users.begin_deletion("an")
    fail_before(monkeypatch, process.users.usernames, "release")
    with pytest.raises(Unavailable):
        await process.users.finish_deletion(an, "an")
    assert an == await process.users.begin_deletion("an")
    await process.users.finish_deletion(an, "an")
    assert await process.users.begin_deletion("an") is None
    assert [] == await mongo.database["usernames"].find().to_list(None)


async def test_concurrent_registrations_and_renames_never_share_a_username(
    process: AccountsProcess, mongo: Mongo
) -> None:
    """Each user is found by the username they have, and what nobody has is free."""
    names = ("an", "binh", "chi", "dung")
    renamed = [await add(process.users, f"user{number}") for number in range(4)]
    others = [UserStore(mongo.database) for _ in range(3)]
    choices = random.Random(7)

    async def rename(users: UserStore, user_id: str, wishes: list[str]) -> None:
        for wish in wishes:
            with suppress(UsernameTaken):
                await users.change_profile(user_id, {"username": wish})

    async def register(users: UserStore) -> None:
        for name in names:
            with suppress(UsernameTaken):
                await add(users, name)

    # Two processes rename each of them at the same time, while a third registers.
    await asyncio.gather(
        *(
            rename(users, user_id, choices.choices(names, k=8))
            for users in (process.users, others[0])
            for user_id in renamed
        ),
        *(register(users) for users in others[1:]),
    )
    stored = await mongo.database["users"].find({}, {"username": 1}).to_list(None)
    usernames = [user["username"] for user in stored]
    assert len(usernames) == len(set(usernames))
    for free in set(names).difference(usernames):
        assert await add(process.users, free)
    for user in stored:
        assert str(user["_id"]) == await id_of(others[0], user["username"])


class EarlierVersion:
    """What a process of the version before stored, which knew no claims."""

    def __init__(self, mongo: Mongo) -> None:
        self._users = mongo.database["users"]
        self._writers = mongo.database["chat_writers"]
        self._id = uuid4().hex

    async def start(self) -> None:
        await self._users.create_index("username", unique=True)
        await self._writers.insert_one({"_id": self._id, "at": now(), "alive_at": now()})

    async def register(self, username: str) -> str:
        user = {"_id": ObjectId(), "username": username, "display_name": username, "avatar": None}
        await self._users.insert_one({**user, "password_hash": "", "password_version": 0, "created_at": now()})
        return str(user["_id"])

    async def stop(self) -> None:
        await self._writers.delete_one({"_id": self._id})


async def test_usernames_of_an_earlier_version_are_claimed_by_release(
    process: AccountsProcess, mongo: Mongo, settings: Settings
) -> None:
    """Its unique index remains as long as such a process runs."""
    assert settings.mongodb_uri
    earlier = EarlierVersion(mongo)
    await earlier.start()
    an = await earlier.register("an")
    assert not await release(settings.mongodb_uri)
    assert {"_id": "an", "user_id": ObjectId(an)}.items() <= (
        await mongo.database["usernames"].find_one() or {}
    ).items()
    # Both versions run side by side.
    binh = await earlier.register("binh")
    assert binh == await id_of(process.users, "binh")
    chi = await earlier.register("chi")
    with pytest.raises(UsernameTaken):
        await add(process.users, "chi")
    with pytest.raises(UsernameTaken):
        await process.users.change_profile(an, {"username": "chi"})
    assert chi == await id_of(process.users, "chi")
    dung = await earlier.register("dung")
    assert OLD_INDEX in await mongo.database["users"].index_information()
    await earlier.stop()
    for _ in range(2):
        assert await release(settings.mongodb_uri)
        assert OLD_INDEX not in await mongo.database["users"].index_information()
    assert [an, binh, chi, dung] == [await id_of(process.users, name) for name in ("an", "binh", "chi", "dung")]


async def test_release_goes_on_where_it_was_interrupted(
    process: AccountsProcess, mongo: Mongo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is dropped only once every username is claimed."""
    assert settings.mongodb_uri
    earlier = EarlierVersion(mongo)
    await earlier.start()
    ids = {name: await earlier.register(name) for name in ("an", "binh", "chi")}
    await earlier.stop()
    monkeypatch.setattr("service.datastores.scan.MAX_BATCH", 1)
    names = process.users.usernames
    await names._bind([("an", ObjectId(ids["an"]))])
    await names._bind([("binh", ObjectId())])
    assert await release(settings.mongodb_uri)
    assert ids == {name: await id_of(process.users, name) for name in ids}


async def test_a_process_of_this_version_says_so(mongo: Mongo) -> None:
    writers = WriterCheckpoints(mongo.database)
    await writers.write("one", now())
    assert not await writers.earlier_version_runs()
    await EarlierVersion(mongo).start()
    assert await writers.earlier_version_runs()
