"""Users under the ids of the site that Loa stands beside."""

import asyncio

import pytest
from redis.asyncio import Redis

from service.accounts import derived_usernames
from service.accounts.external_ids import ExternalIdStore
from service.accounts.models import MAX_USERNAME, Login
from service.common.errors import BadCredentials, NotFound
from service.common.ids import new_id
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess, build_process


async def put(process: AccountsProcess, external_id: str, username: str, display_name: str = "Ánh") -> str:
    """Put a user; return their username."""
    user, _ = await process.external_users.put(external_id, {"username": username, "display_name": display_name})
    return user.profile.username


async def test_a_user_is_created_once_and_found_by_external_id(process: AccountsProcess) -> None:
    avatar = "https://example.org/a.png"
    user, created = await process.external_users.put(
        "auth0|42", {"username": "ann", "display_name": "Ánh", "avatar": avatar}
    )
    assert created
    assert ("ann", "Ánh", avatar, "auth0|42") == (
        user.profile.username,
        user.profile.display_name,
        user.profile.avatar,
        user.external_id,
    )
    again, created = await process.external_users.put("auth0|42", {"username": "ann", "display_name": "Ánh"})
    assert not created
    assert user == again == await process.external_users.find("auth0|42")
    assert {"auth0|42": user.id} == await process.external_users.user_ids(["auth0|42", "auth0|43"])
    assert {user.id: "auth0|42"} == await process.users.external_ids([user.id, new_id()])
    with pytest.raises(NotFound):
        await process.external_users.find("auth0|43")


@pytest.mark.parametrize(
    "external_id", ["../../admin", "$where", "a.b", "\u202e42", "x" * 255, " ", "{}", "loa", "ann"]
)
async def test_an_external_id_is_any_text(process: AccountsProcess, external_id: str) -> None:
    """It is neither a path nor an operator of the database, nor confused with a username or an id of Loa's."""
    an = await process.users.add("ann", "An", "a hash")
    user, _ = await process.external_users.put(external_id, {"display_name": "Bình"})
    other, _ = await process.external_users.put(an.id, {"display_name": "Chi"})
    assert 3 == len({an.id, user.id, other.id})
    assert external_id == (await process.external_users.find(external_id)).external_id
    assert {external_id: user.id, an.id: other.id} == await process.external_users.user_ids([external_id, an.id])


async def test_concurrent_calls_create_one_user(mongo: Mongo, redis: Redis, process: AccountsProcess) -> None:
    """Also on several processes: each knows the same user afterwards, who has the first username that was free."""
    other = build_process(mongo, redis)
    puts = [each.external_users.put("42", {"username": "ann", "display_name": "An"}) for each in (process, other) * 5]
    results = await asyncio.gather(*puts)
    assert 1 == sum(created for _, created in results)
    assert 1 == len({user.id for user, _ in results})
    assert {"ann"} == {user.profile.username for user, _ in results}
    assert 1 == await mongo.database["users"].count_documents({})
    await other.passwords.close()


async def test_a_creation_that_was_interrupted_is_completed(process: AccountsProcess, mongo: Mongo) -> None:
    """After each of its steps: the id is bound, the user is stored."""
    ids = ExternalIdStore(mongo.database)
    binding = await ids.bind("42")
    assert {} == await process.external_users.user_ids(["42"])
    user, created = await process.external_users.put("42", {"username": "ann"})
    assert created
    assert binding.user_id == user.id

    binding = await ids.bind("43")
    stored = await process.users.add("binh", "Bình", "", user_id=binding.user_id, external_id="43")
    user, created = await process.external_users.put("43", {"username": "binh", "display_name": "Bình An"})
    assert not created
    assert (stored.id, "binh", "Bình An") == (user.id, user.profile.username, user.profile.display_name)


@pytest.mark.parametrize(
    ("wish", "username"),
    [
        ("An.Nguyen", "an.nguyen"),
        ("Đức Anh", "duc_anh"),
        ("an.nguyen@site.example", "an.nguyen"),
        ("<script>alert(1)</script>", "script_alert_1_script"),
        ("x" * 40, "x" * MAX_USERNAME),
        ("deleted_42", "anh"),
        ("李小龍", "anh"),
        ("é", "anh"),
        ("", "anh"),
    ],
)
async def test_a_username_is_derived(process: AccountsProcess, wish: str, username: str) -> None:
    """From the display name if nothing of the wish can be used."""
    assert username == await put(process, "42", wish)


async def test_somebody_without_usable_names_is_a_user(process: AccountsProcess) -> None:
    assert "user" == await put(process, "42", "李", "李小龍")
    assert "user2" == await put(process, "43", "李", "李小龍")
    assert "李小龍" == (await process.external_users.find("43")).profile.display_name


async def test_a_username_that_is_taken_gets_a_suffix(process: AccountsProcess) -> None:
    """Which stays: neither a repeated request nor one that only changes the name gives another one."""
    await process.users.add("an.nguyen", "An", "a hash")
    names = [await put(process, f"42|{number}", "an.nguyen") for number in range(5)]
    assert "an.nguyen2" == names[0]
    assert 5 == len(set(names))
    assert all(derived_usernames.is_candidate(name, "an.nguyen") for name in names)
    assert names == [await put(process, f"42|{number}", "an.nguyen", "Ánh") for number in range(5)]
    assert ["y" * MAX_USERNAME, "y" * (MAX_USERNAME - 1) + "2"] == [
        await put(process, f"43|{number}", "y" * 40) for number in range(2)
    ]


async def test_a_new_username_replaces_the_old_one(process: AccountsProcess) -> None:
    """Which somebody else can have then. Searches find the new one only."""
    await put(process, "42", "ann")
    assert "binh" == await put(process, "42", "binh")
    assert "ann" == await put(process, "43", "ann", "Chi")
    await put(process, "44", "dung", "Dũng")
    assert "binh2" == await put(process, "44", "binh", "Dũng")
    found, _ = await process.profiles.search("@ann", 5)
    assert ["ann"] == [profile.username for profile in found]
    found, _ = await process.profiles.search("@binh", 5)
    assert ["binh", "binh2"] == [profile.username for profile in found]


async def test_only_a_change_of_the_profile_is_announced(process: AccountsProcess) -> None:
    await put(process, "42", "ann", "An")
    await put(process, "42", "ann", "An")
    assert [] == process.changed_profiles
    await put(process, "42", "ann", "Ánh")
    user, _ = await process.external_users.put("42", {"avatar": "https://example.org/a.png"})
    await process.external_users.put("42", {"avatar": "https://example.org/a.png"})
    await process.external_users.put("42", {})
    assert ["Ánh", "Ánh"] == [profile.display_name for profile in process.changed_profiles]
    assert user.profile == process.changed_profiles[-1]
    user, _ = await process.external_users.put("42", {"avatar": None})
    assert user.profile.avatar is None


async def test_concurrent_changes_of_both_names_leave_the_right_search_terms(process: AccountsProcess) -> None:
    await put(process, "42", "ann", "An")
    for number in range(5):
        await asyncio.gather(
            process.external_users.put("42", {"username": f"first{number}"}),
            process.external_users.put("42", {"display_name": f"Second{number}"}),
        )
        found, _ = await process.profiles.search(f"first{number} second{number}", 5)
        assert [f"first{number}"] == [profile.username for profile in found]


async def test_somebody_who_was_deleted_is_a_new_user(process: AccountsProcess, mongo: Mongo) -> None:
    """Also while the deletion is under way, or was interrupted. Nothing of theirs returns, and no name remains."""
    ids = ExternalIdStore(mongo.database)
    first, _ = await process.external_users.put("42", {"username": "ann", "display_name": "Ánh"})
    await process.users.begin_deletion("ann")
    with pytest.raises(NotFound):
        await process.external_users.find("42")
    second, created = await process.external_users.put("42", {"username": "ann", "display_name": "Ánh"})
    assert created
    assert (second.id, second.profile.username) != (first.id, first.profile.username)
    # The deletion goes on; it does not concern the new user.
    await ids.unbind("42", first.id)
    await process.users.finish_deletion(first.id, "ann")
    assert second.id == (await process.external_users.find("42")).id
    documents = await mongo.database["users"].find({"_id": {"$ne": None}}).to_list(None)
    assert ["42"] == [document["external_id"] for document in documents if "external_id" in document]
    assert "42" not in str(await mongo.database["external_ids"].find({}).to_list(None)).split("'")


async def test_nobody_signs_in_as_a_user_of_the_site_with_a_password(process: AccountsProcess) -> None:
    await put(process, "42", "ann")
    for password in ("", "password", " "):
        with pytest.raises(BadCredentials):
            await process.accounts.login(Login.model_construct(username="ann", password=password), "")
