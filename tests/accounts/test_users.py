"""The store of people, and finding them again."""

import asyncio

import pytest

from service.accounts.models import ProfileChange
from service.accounts.users import User
from service.common.errors import NotFound, Unavailable, UsernameTaken
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, build_process


async def add(here: AccountsProcess, username: str, display_name: str | None = None) -> str:
    return (await here.users.add(username, display_name or username, "a hash")).id


async def names(here: AccountsProcess, prefix: str, limit: int = 20) -> list[str]:
    return [profile.username for profile in await here.profiles.search(prefix, limit)]


async def test_of_two_who_want_one_name_at_once_one_has_it(here: AccountsProcess) -> None:
    """The unique index decides, however many there are."""
    results = await asyncio.gather(*(here.users.add("an", "An", "a hash") for _ in range(8)), return_exceptions=True)
    assert 1 == sum(isinstance(result, User) for result in results)
    assert 7 == sum(isinstance(result, UsernameTaken) for result in results)


async def test_profiles_come_in_one_read_without_those_who_are_not_there(here: AccountsProcess) -> None:
    """Asked twice for one, or for nobody, it answers with what there is."""
    an, binh = await add(here, "an", "Ánh"), await add(here, "binh")
    profiles = await here.profiles.profiles([an, binh, an, new_id()])
    assert {an: "Ánh", binh: "binh"} == {one: profile.display_name for one, profile in profiles.items()}
    assert {} == await here.profiles.profiles([])
    assert {an} == await here.profiles.existing([an, new_id()])


async def test_a_profile_shows_nothing_but_what_is_public(here: AccountsProcess) -> None:
    """No hash, no version, no times."""
    profile = await here.profiles.profile(await add(here, "an", "Ánh"))
    assert {"id", "username", "display_name", "avatar"} == profile.model_dump().keys()


async def test_a_user_shows_no_hash_when_printed(here: AccountsProcess) -> None:
    """Nor does the user that the services pass around."""
    user = await here.users.get(await add(here, "an"))
    assert user
    assert "a hash" == user.password_hash
    assert "a hash" not in repr(user)


async def test_the_profile_of_nobody_is_not_found(here: AccountsProcess) -> None:
    """To read as to change."""
    with pytest.raises(NotFound):
        await here.profiles.profile(new_id())
    with pytest.raises(NotFound):
        await here.profiles.change_profile(new_id(), ProfileChange(display_name="An"))
    with pytest.raises(NotFound):
        await here.profiles.change_profile(new_id(), ProfileChange())


async def test_a_change_leaves_what_it_does_not_name(here: AccountsProcess) -> None:
    """Name and picture change one without the other; null takes the picture away."""
    an = await add(here, "an")
    await here.profiles.change_profile(an, ProfileChange(avatar="https://example.org/a.png"))
    changed = await here.profiles.change_profile(an, ProfileChange(display_name="Ánh"))
    assert ("Ánh", "https://example.org/a.png") == (changed.display_name, changed.avatar)
    assert changed == await here.profiles.change_profile(an, ProfileChange()) == await here.profiles.profile(an)
    assert (await here.profiles.change_profile(an, ProfileChange(avatar=None))).avatar is None
    assert "Ánh" == (await here.profiles.profile(an)).display_name


async def test_a_search_finds_by_the_beginning_of_either_name(here: AccountsProcess) -> None:
    """Whatever the case; usernames first, each kind in its order, nobody twice."""
    await add(here, "zoe", "Anders")
    await add(here, "xuan", "ANNA")
    await add(here, "anna", "Anna")
    await add(here, "ann", "Zoe")
    await add(here, "banh", "Bánh mì an")
    assert ["ann", "anna", "zoe", "xuan"] == await names(here, "aN")
    assert ["ann", "anna", "zoe"] == await names(here, "aN", 3)
    assert ["ann", "anna", "xuan"] == await names(here, "ann")
    assert ["banh"] == await names(here, "bÁNH")
    assert [] == await names(here, "nn")


async def test_a_search_is_bounded_and_always_the_same(here: AccountsProcess) -> None:
    """The first of many, in order."""
    for number in range(12):
        await add(here, f"an{number:02}", "Same Name")
    assert ["an00", "an01", "an02"] == await names(here, "an", 3)
    assert await names(here, "same", 5) == await names(here, "SAME", 5)
    assert 12 == len(await names(here, "same", 50))


@pytest.mark.parametrize("query", [".*", "^a", "$", "a|b", "\\", "{$gt: ''}", "\0", "\U0010ffff"])
async def test_a_search_takes_its_query_as_text(here: AccountsProcess, query: str) -> None:
    """It is no pattern and no operator."""
    await add(here, "an")
    assert [] == await names(here, query)


async def test_a_new_display_name_is_searched_and_the_old_one_is_not(here: AccountsProcess) -> None:
    """What is folded follows what is shown."""
    an = await add(here, "an", "Bình")
    await here.profiles.change_profile(an, ProfileChange(display_name="Dũng"))
    assert [] == await names(here, "bì")
    assert ["an"] == await names(here, "dũ")


async def test_the_ways_to_write_a_character_are_one_to_a_search(here: AccountsProcess) -> None:
    """Combining or composed, full width or not."""
    await add(here, "an", "Bi\u0300nh")
    assert ["an"] == await names(here, "b\u00ec")
    assert ["an"] == await names(here, "\uff22\u00ec")


async def test_when_the_database_is_away_everything_says_so(here: AccountsProcess, no_mongo: Mongo) -> None:
    """Unavailable, to be tried again."""
    away = build_process(no_mongo, here.denylist._redis)
    results = await asyncio.gather(
        away.users.get(new_id()),
        away.users.by_username("an"),
        away.users.add("an", "An", "a hash"),
        away.profiles.profiles([new_id()]),
        away.profiles.search("an", 5),
        return_exceptions=True,
    )
    assert [Unavailable] * 5 == [type(result) for result in results]
    await away.passwords.close()
