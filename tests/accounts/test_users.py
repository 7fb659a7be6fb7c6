"""The store of users, and the search."""

import asyncio

import pytest
from redis.asyncio import Redis

from service.accounts.models import ProfileChange
from service.accounts.users import User
from service.common.errors import NotFound, Unavailable, UsernameTaken
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, build_process


async def add(process: AccountsProcess, username: str, display_name: str | None = None) -> str:
    return (await process.users.add(username, display_name or username, "a hash")).id


async def names(process: AccountsProcess, prefix: str, limit: int = 20) -> list[str]:
    return [profile.username for profile in await process.profiles.search(prefix, limit)]


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
    changed = await process.profiles.change_profile(an, ProfileChange(display_name="Ánh"))
    assert ("Ánh", "https://example.org/a.png") == (changed.display_name, changed.avatar)
    assert changed == await process.profiles.change_profile(an, ProfileChange()) == await process.profiles.profile(an)
    assert (await process.profiles.change_profile(an, ProfileChange(avatar=None))).avatar is None
    assert "Ánh" == (await process.profiles.profile(an)).display_name


async def test_a_search_matches_prefixes_of_username_and_display_name(process: AccountsProcess) -> None:
    """It ignores case, lists matches by username first, and lists no user twice."""
    await add(process, "zoe", "Anders")
    await add(process, "xuan", "ANNA")
    await add(process, "anna", "Anna")
    await add(process, "ann", "Zoe")
    await add(process, "banh", "Bánh mì an")
    assert ["ann", "anna", "zoe", "xuan"] == await names(process, "aN")
    assert ["ann", "anna", "zoe"] == await names(process, "aN", 3)
    assert ["ann", "anna", "xuan"] == await names(process, "ann")
    assert ["banh"] == await names(process, "bÁNH")
    assert [] == await names(process, "nn")


async def test_a_search_is_limited_and_deterministic(process: AccountsProcess) -> None:
    for number in range(12):
        await add(process, f"an{number:02}", "Same Name")
    assert ["an00", "an01", "an02"] == await names(process, "an", 3)
    assert await names(process, "same", 5) == await names(process, "SAME", 5)
    assert 12 == len(await names(process, "same", 50))


@pytest.mark.parametrize("query", [".*", "^a", "$", "a|b", "\\", "{$gt: ''}", "\0", "\U0010ffff"])
async def test_a_search_query_is_plain_text(process: AccountsProcess, query: str) -> None:
    """Patterns and operators have no meaning."""
    await add(process, "an")
    assert [] == await names(process, query)


async def test_a_search_finds_the_new_display_name_and_not_the_old_one(process: AccountsProcess) -> None:
    an = await add(process, "an", "Bình")
    await process.profiles.change_profile(an, ProfileChange(display_name="Dũng"))
    assert [] == await names(process, "bì")
    assert ["an"] == await names(process, "dũ")


async def test_a_search_compares_normalised_characters(process: AccountsProcess) -> None:
    """Combining or composed, full width or not."""
    await add(process, "an", "Bi\u0300nh")
    assert ["an"] == await names(process, "b\u00ec")
    assert ["an"] == await names(process, "\uff22\u00ec")


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
