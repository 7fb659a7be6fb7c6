"""Profiles: changing, reading, searching."""

from uuid import uuid4

import pytest

from tests.protocol.clients import NO_ID, Clients

PROFILE = {"id", "username", "display_name", "avatar"}


async def test_a_profile_update_changes_the_given_fields_only(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    assert anna.profile["username"] == anna.profile["display_name"], "without a display name it is the username"
    changed = await anna.patch("/users/me", {"display_name": " Ánna "})
    own = {"show_presence": True, "roles": []}
    assert anna.profile | {"display_name": "Ánna"} | own == changed
    avatar = "https://pictures.example/anna.png"
    assert changed | {"avatar": avatar} == await anna.patch("/users/me", {"avatar": avatar})
    assert changed | {"avatar": avatar} == await anna.get("/users/me")
    assert changed | {"avatar": avatar} == await ben.get(f"/users/{anna.id}") | own
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
    for pattern in (".*", "a.*q", "^nna", "anna.searc[_h]", "(x+)+$", "$where", "ann\\w", "{'$gt': ''}"):
        assert [] == [
            person for person in (await anna.get("/users", query=pattern))["items"] if "search" in person["username"]
        ], "what one types is text, not a pattern"


async def test_a_change_of_profile_reaches_the_users_other_tabs(four_worker_clients: Clients) -> None:
    """And nobody else."""
    anna, ben = await four_worker_clients.users(2)
    await anna.start_conversation(ben)
    tabs, other = [await anna.chat_socket() for _ in range(3)], await ben.chat_socket()
    await anna.patch("/users/me", {"display_name": "Ánna"})
    public = anna.profile | {"display_name": "Ánna"}
    for tab in tabs:
        assert {"type": "profile_updated", "data": public} == await tab.event("profile_updated")
    await anna.patch("/users/me", {})
    await ben.patch("/users/me", {"display_name": "Ben"})
    assert ben.id == (await other.event("profile_updated"))["data"]["id"]
    for socket in (*tabs, other):
        await socket.flush()
        assert 1 == [event["type"] for event in socket.received].count("profile_updated")


async def test_search_ignores_case_accents_and_the_order_of_words(clients: Clients) -> None:
    """Every word of the query is a prefix of some word of the display name or the username."""
    tag = uuid4().hex[:12]
    me = await clients.user()
    await clients.user(f"h.{tag}", display_name=f"Trần Thị Hương {tag}")
    await clients.user(f"d.{tag}", display_name=f"Nguyễn Đức-Anh {tag}")
    await clients.user(f"z.{tag}", display_name=f"Zoë {tag}")
    for query, found in [
        ("huong", "h"),
        ("HƯƠNG", "h"),
        ("huo tra", "h"),
        ("Thị Trần", "h"),
        ("nguyen duc anh", "d"),
        ("nguyễn đức anh", "d"),
        ("đuc", "d"),
        ("zoe", "z"),
        ("ZOE\u0308", "z"),
        ("", "dhz"),
        ("uong", ""),
        ("huong anh", ""),
    ]:
        items = (await me.get("/users", query=f"{query} {tag}"))["items"]
        assert [f"{letter}.{tag}" for letter in found] == [item["username"] for item in items], query


async def test_search_for_usernames(clients: Clients) -> None:
    """A leading @ restricts the search to usernames."""
    tag = uuid4().hex[:12]
    me, anna = await clients.user(), await clients.user(f"anna_{tag}.x", display_name=f"Binh{tag}")
    other = await clients.user(f"binh{tag}", display_name=f"Anna {tag}")

    async def search(query: str) -> list[str]:
        return [item["id"] for item in (await me.get("/users", query=query))["items"]]

    assert [anna.id, other.id] == await search(f"anna {tag}")
    assert [anna.id] == await search(f"@anna_{tag}") == await search(f"@anna {tag}") == await search(f"@X {tag}")
    assert [anna.id, other.id] == await search(f"binh{tag}")
    assert [other.id] == await search(f"@binh{tag}") == await search(f" @BINH{tag}")
    assert [] == await search("@") == await search("!?") == await search("@ @")


async def test_search_pages_survive_the_user_that_the_cursor_names(clients: Clients) -> None:
    """Each match is on one page, whatever appears and changes between the pages."""
    tag = uuid4().hex[:12]
    me = await clients.user()
    everyone = [await clients.user(f"p{n}.{tag}", display_name=f"Page {tag}") for n in range(7)]
    page = await me.get("/users", query=tag, limit=3)
    assert [person.id for person in everyone[:3]] == [item["id"] for item in page["items"]]
    await everyone[2].patch("/users/me", {"display_name": "Another"})
    await clients.user(f"p0a.{tag}")
    rest = [item["id"] async for item in me.pages("/users", "before", query=tag, limit=3, before=page["next"])]
    assert [person.id for person in everyone[3:]] == rest
    for before in ("A", "a b", "{}", "\0", "x" * 65):
        await me.expect_error(422, "validation_failed", "GET", "/users", params={"query": tag, "before": before})


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"limit": "ten"}, {"limit": 10**9}, {"surprise": 1}])
async def test_an_invalid_limit_or_an_unknown_parameter_is_rejected(clients: Clients, query: dict[str, str]) -> None:
    anna = await clients.user()
    await anna.expect_error(422, "validation_failed", "GET", "/users", params={"query": "ab", **query})


async def test_a_search_requires_a_query(clients: Clients) -> None:
    """Users cannot be enumerated."""
    anna = await clients.user()
    await anna.expect_error(422, "validation_failed", "GET", "/users")
    await anna.expect_error(422, "validation_failed", "GET", "/users", params={"query": ""})
