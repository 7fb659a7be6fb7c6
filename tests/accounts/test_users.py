"""The store of users, and the search."""

import asyncio

import pytest
from redis.asyncio import Redis

from config.settings import Settings
from service.accounts import users
from service.accounts.models import Login, ProfileChange, SignedIn
from service.accounts.users import User
from service.commands.release import release
from service.common.errors import NotFound, Unavailable, UsernameTaken
from service.common.ids import new_id
from service.datastores.find_by_ids import IDS_PER_READ
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, build_process
from tests.accounts.conftest import PASSWORD, USERNAME
from tests.conftest import Datastores
from tests.recorded_commands import recording


async def add(process: AccountsProcess, username: str, display_name: str | None = None) -> str:
    return (await process.users.add(username, display_name or username, "a hash")).id


async def names(process: AccountsProcess, query: str, limit: int = 20) -> list[str]:
    profiles, _ = await process.profiles.search(query, limit)
    return [profile.username for profile in profiles]


async def test_concurrent_adds_of_one_username_succeed_once(process: AccountsProcess) -> None:
    """The unique index decides."""
    results = await asyncio.gather(*(process.users.add("an", "An", "a hash") for _ in range(8)), return_exceptions=True)
    assert 1 == sum(isinstance(result, User) for result in results)
    assert 7 == sum(isinstance(result, UsernameTaken) for result in results)


async def test_profiles_omits_unknown_users(process: AccountsProcess) -> None:
    """Duplicate and unknown ids are harmless."""
    an, binh = await add(process, "an", "Ánh"), await add(process, "binh")
    profiles = await process.profiles.profiles([an, binh, an, new_id()])
    assert {an: "Ánh", binh: "binh"} == {id: profile.display_name for id, profile in profiles.items()}
    assert {} == await process.profiles.profiles([])
    assert {an} == await process.profiles.existing([an, new_id()])


@pytest.mark.parametrize("method", ["profiles", "external_ids", "showing_presence", "active"])
async def test_any_number_of_users_is_read_in_small_parts(datastores: Datastores, method: str) -> None:
    """As a group of thousands is created: the embedded server takes a minute for one read of two thousand."""
    async with recording(datastores) as (mongo, commands):
        store = users.UserStore(mongo.database)
        await getattr(store, method)(new_id() for _ in range(2 * IDS_PER_READ + 1))
        assert commands.recorded == ["find users"] * 3


async def test_profiles_that_are_read_at_the_same_time_are_one_read(datastores: Datastores) -> None:
    """Each caller gets those that it asked for."""
    async with recording(datastores) as (mongo, commands):
        store = users.UserStore(mongo.database)
        an, binh, chi = [(await store.add(name, name, "a hash")).id for name in ("an", "binh", "chi")]
        wanted = [{an, binh}, {binh, chi, new_id()}, set[str]()]
        commands.recorded.clear()
        found = await asyncio.gather(*map(store.profiles, wanted))
        assert commands.recorded == ["find users"]
        assert [{"an", "binh"}, {"binh", "chi"}, set()] == [
            {profile.username for profile in profiles.values()} for profiles in found
        ]


async def test_a_profile_has_only_public_fields(process: AccountsProcess) -> None:
    profile = await process.profiles.profile(await add(process, "an", "Ánh"))
    assert {"id", "username", "display_name", "avatar"} == profile.model_dump().keys()


async def test_the_repr_of_a_user_omits_the_password_hash(process: AccountsProcess) -> None:
    user = await process.users.get(await add(process, "an"))
    assert user
    assert "a hash" == user.password_hash
    assert "a hash" not in repr(user)


async def test_an_unknown_profile_is_not_found(process: AccountsProcess) -> None:
    """When it is read and when it is changed."""
    with pytest.raises(NotFound):
        await process.profiles.profile(new_id())
    with pytest.raises(NotFound):
        await process.profiles.change_profile(new_id(), ProfileChange(display_name="An"))
    with pytest.raises(NotFound):
        await process.profiles.change_profile(new_id(), ProfileChange())


async def test_a_change_keeps_omitted_fields(process: AccountsProcess) -> None:
    """An avatar of null removes the picture."""
    an = await add(process, "an")
    await process.profiles.change_profile(an, ProfileChange(avatar="https://example.org/a.png"))
    await process.profiles.change_profile(an, ProfileChange(show_presence=False))
    changed = await process.profiles.change_profile(an, ProfileChange(display_name="Ánh"))
    assert ("Ánh", "https://example.org/a.png") == (changed.display_name, changed.avatar)
    assert not changed.show_presence
    assert (
        changed == await process.profiles.change_profile(an, ProfileChange()) == await process.profiles.own_profile(an)
    )
    assert (await process.profiles.change_profile(an, ProfileChange(avatar=None))).avatar is None
    assert ["editor"] == (await process.profiles.own_profile(an, ("editor",))).roles
    assert "Ánh" == (await process.profiles.profile(an)).display_name


async def test_a_search_matches_prefixes_of_words(process: AccountsProcess) -> None:
    """It ignores case, accents and strokes, and lists matches by username."""
    await add(process, "zoe", "Anders")
    await add(process, "xuan", "ĐỨC ANNA")
    await add(process, "ann_b.c", "Zoë")
    assert ["ann_b.c", "xuan", "zoe"] == await names(process, "aN")
    assert ["ann_b.c", "xuan"] == await names(process, "aN", 2)
    assert ["ann_b.c", "xuan"] == await names(process, "ann")
    assert ["xuan"] == await names(process, "anna duc") == await names(process, "Đức") == await names(process, "an d")
    assert ["ann_b.c"] == await names(process, "ann_b") == await names(process, "b") == await names(process, "c ann")
    assert ["ann_b.c", "zoe"] == await names(process, "zoe")
    assert ["zoe"] == await names(process, "@zoe")
    assert ["ann_b.c"] == await names(process, "@an")
    assert [] == await names(process, "nn") == await names(process, "anna zoe") == await names(process, "@duc")


async def test_a_search_returns_pages(process: AccountsProcess) -> None:
    """Each user is on one page, also if the user that the cursor names is gone."""
    for number in range(12):
        await add(process, f"an{number:02}", "Same Name")
    assert [f"an{number:02}" for number in range(12)] == await names(process, "same", 50)
    first, cursor = await process.profiles.search("same", 5)
    assert cursor == "an04"
    deleted = await process.users.begin_deletion("an04")
    assert deleted
    await process.users.finish_deletion(deleted, "an04")
    second, cursor = await process.profiles.search("same", 5, cursor)
    third, end = await process.profiles.search("same", 5, cursor or "")
    assert end is None
    assert [f"an{number:02}" for number in range(12)] == [profile.username for profile in (*first, *second, *third)]


async def test_a_search_of_several_words_reads_a_bounded_number_of_users_for_a_page(
    process: AccountsProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page continues where the previous one stopped reading, and every match is found once."""
    monkeypatch.setattr(users, "MAX_CANDIDATES", 10)
    monkeypatch.setattr(users, "CANDIDATE_BATCH", 4)
    for number in range(25):
        await add(process, f"user{number:02}", "Nguyễn An" if number in (3, 4, 5, 18) else "Nguyễn Bình")
    pages = []
    cursor: str | None = ""
    while cursor is not None:
        found, cursor = await process.profiles.search("an nguyen", 2, cursor)
        pages.append(([profile.username for profile in found], cursor))
    assert [
        (["user03", "user04"], "user04"),  # full
        (["user05"], "user14"),  # ten users read
        (["user18"], None),  # the last ten
    ] == pages


@pytest.mark.parametrize("query", [".*", "^", "$", "|", "\\", "{$gt: ''}", "\0", "\U0010ffff", "@", "👍"])
async def test_a_search_query_is_plain_text(process: AccountsProcess, query: str) -> None:
    """Patterns and operators have no meaning, and without a word nobody is found."""
    await add(process, "an")
    assert [] == await names(process, query)


async def test_a_search_finds_the_new_display_name_and_not_the_old_one(process: AccountsProcess) -> None:
    an = await add(process, "an", "Bình")
    await process.profiles.change_profile(an, ProfileChange(display_name="Dũng"))
    assert [] == await names(process, "bì")
    assert ["an"] == await names(process, "dũ") == await names(process, "an")


async def test_a_search_compares_normalised_characters(process: AccountsProcess) -> None:
    """Combining or composed, full width or not."""
    await add(process, "an", "Bi\u0300nh")
    assert ["an"] == await names(process, "b\u00ec")
    assert ["an"] == await names(process, "\uff22\u00ec")


async def test_users_of_earlier_versions_become_searchable(
    process: AccountsProcess, mongo: Mongo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `release`, in batches, or when they sign in."""
    monkeypatch.setattr(users, "BATCH_SIZE", 5)
    for number in range(12):
        await add(process, f"an{number:02}", f"Hương {number}")
    await process.users.begin_deletion("an11")
    await mongo.database["users"].update_many({}, {"$unset": {"search_terms": ""}})
    assert [] == await names(process, "huong")
    user = await process.users.by_username("an00")
    assert user
    assert not user.is_searchable
    await process.users.make_searchable(user)
    assert ["an00"] == await names(process, "huong")
    assert settings.mongodb_uri
    await release(settings.mongodb_uri)
    assert 0 == await process.users.fill_search_terms()
    assert [f"an{number:02}" for number in range(11)] == await names(process, "huong")


async def test_a_user_becomes_searchable_at_the_next_sign_in_or_refresh(
    process: AccountsProcess, mongo: Mongo, signed_in: SignedIn
) -> None:
    """Someone may have registered with a process of an earlier version after `release` had run."""
    for sign_in in (
        lambda: process.accounts.refresh(signed_in.refresh_token),
        lambda: process.accounts.login(Login(username=USERNAME, password=PASSWORD), ""),
    ):
        await mongo.database["users"].update_one({}, {"$unset": {"search_terms": ""}})
        assert [] == await names(process, USERNAME)
        await sign_in()
        assert [USERNAME] == await names(process, USERNAME)


async def test_deletion_frees_the_username_although_somebody_has_taken_its_replacement(
    process: AccountsProcess,
) -> None:
    """Earlier versions let anyone register as `deleted_…`."""
    gone = await add(process, "gone")
    await add(process, f"deleted_{gone}", "A squatter")
    for _ in range(2):
        assert gone == await process.users.begin_deletion("gone") or await process.users.get(gone)
        await process.users.finish_deletion(gone, "gone")
    assert (await process.profiles.profile(gone)).username.startswith("deleted_")
    await add(process, "gone")


async def test_a_profile_change_does_not_undo_a_deletion(process: AccountsProcess) -> None:
    """The user's tokens may be valid for a moment longer."""
    gone = await add(process, "gone")
    await process.users.begin_deletion("gone")
    with pytest.raises(NotFound):
        await process.profiles.change_profile(gone, ProfileChange(display_name="Still here"))
    assert "Deleted user" == (await process.profiles.profile(gone)).display_name


async def test_methods_raise_unavailable_without_the_database(no_mongo: Mongo, redis: Redis) -> None:
    process = build_process(no_mongo, redis)
    results = await asyncio.gather(
        process.users.get(new_id()),
        process.users.by_username("an"),
        process.users.add("an", "An", "a hash"),
        process.profiles.profiles([new_id()]),
        process.profiles.search("an", 5),
        return_exceptions=True,
    )
    assert [Unavailable] * 5 == [type(result) for result in results]
    await process.passwords.close()
