"""Profiles: changing, reading, searching."""

import pytest

from tests.protocol.clients import NO_ID, Clients

PROFILE = {"id", "username", "display_name", "avatar"}


async def test_a_profile_update_changes_the_given_fields_only(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    assert anna.profile["username"] == anna.profile["display_name"], "without a display name it is the username"
    changed = await anna.patch("/users/me", {"display_name": " Ánna "})
    assert anna.profile | {"display_name": "Ánna"} == changed
    avatar = "https://pictures.example/anna.png"
    assert changed | {"avatar": avatar} == await anna.patch("/users/me", {"avatar": avatar})
    assert changed | {"avatar": avatar} == await anna.get("/users/me") == await ben.get(f"/users/{anna.id}")
    assert changed == await anna.patch("/users/me", {"avatar": None})
    assert changed == await anna.patch("/users/me", {})


@pytest.mark.parametrize(
    "avatar",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://x.example/a",
        "http://x.example/a.png",
        "/a.png",
        "//x.example/a",
        "x",
        "https://",
        "",
    ],
)
async def test_an_avatar_is_an_https_url(clients: Clients, avatar: str) -> None:
    """Any other URL is rejected: the browsers of other users fetch it."""
    anna = await clients.user()
    problem = await anna.expect_error(422, "validation_failed", "PATCH", "/users/me", {"avatar": avatar})
    assert ["avatar"] == [error["field"] for error in problem["errors"]]
    assert None is (await anna.get("/users/me"))["avatar"]


async def test_a_profile_has_exactly_four_fields(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    assert PROFILE == set(await ben.get(f"/users/{anna.id}"))
    for item in (await ben.get("/users", query=anna.username))["items"]:
        assert PROFILE == set(item)


async def test_unknown_and_malformed_ids_get_404(clients: Clients) -> None:
    anna = await clients.user()
    missing = await anna.expect_error(404, "not_found", "GET", f"/users/{NO_ID}")
    for id_ in ("xyz", "0" * 23, "0" * 25, "%00", "%7B%22$gt%22:%22%22%7D"):
        assert missing == await anna.expect_error(404, "not_found", "GET", f"/users/{id_}")


async def test_users_are_found_by_the_start_of_their_name_in_any_case(clients: Clients) -> None:
    anna = await clients.user("anna.search_1", display_name="Zoë Search")
    await clients.user("anna.search_2")
    found = (await anna.get("/users", query="anna.search_"))["items"]
    assert {"anna.search_1", "anna.search_2"} == {person["username"] for person in found}
    assert 1 == len((await anna.get("/users", query="anna.search_", limit=1))["items"])
    assert anna.profile in (await anna.get("/users", query="ANNA.SEARCH"))["items"]
    for pattern in (".*", "a.*a", "^anna", "anna.search[_]", "(a+)+$", "$where", "ann\\w"):
        assert [] == [
            person for person in (await anna.get("/users", query=pattern))["items"] if "search" in person["username"]
        ], "what one types is text, not a pattern"


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"limit": "ten"}, {"limit": 10**9}, {"surprise": 1}])
async def test_an_invalid_limit_or_an_unknown_parameter_is_rejected(clients: Clients, query: dict[str, str]) -> None:
    anna = await clients.user()
    await anna.expect_error(422, "validation_failed", "GET", "/users", params={"query": "ab", **query})


async def test_a_search_requires_a_query(clients: Clients) -> None:
    """Users cannot be enumerated."""
    anna = await clients.user()
    await anna.expect_error(422, "validation_failed", "GET", "/users")
    await anna.expect_error(422, "validation_failed", "GET", "/users", params={"query": ""})
