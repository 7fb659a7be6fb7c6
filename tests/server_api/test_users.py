"""The people of a site, as its servers manage them."""

import asyncio
import time

import jwt
import pytest

from service.server_api.models import DEFAULT_TOKEN_SECONDS
from tests.rest import RestClient
from tests.server_api.site import KEY, PREFIX, Site, user_path

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_user_is_created_and_changed(site: Site) -> None:
    """What a later request leaves out stays, but for the display name, which each has."""
    path = user_path("created-and-changed")
    fields = {"username": "huong_7", "display_name": "Trần Thị Hương", "avatar": "https://a.example/h.png"}
    created = await site.call("put", path, 201, **fields)
    assert {**fields, "external_id": "created-and-changed"} == {name: created[name] for name in created if name != "id"}
    changed = await site.call("put", path, 200, display_name="Hương")
    assert created | {"display_name": "Hương"} == changed
    assert changed | {"avatar": None} == await site.call("put", path, 200, display_name="Hương", avatar=None)


async def test_a_username_that_is_taken_becomes_a_similar_one(site: Site) -> None:
    users = [
        await site.call("put", user_path(f"taken-{number}"), 201, username="taken", display_name="Taken")
        for number in range(3)
    ]
    names = {user["username"] for user in users}
    assert 3 == len(names)
    assert all(name.startswith("taken") for name in names)


async def test_concurrent_requests_create_one_user(site: Site) -> None:
    answers = await asyncio.gather(*[site.send("put", user_path("same"), display_name="Same") for _ in range(10)])
    assert [200] * 9 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.json()["id"] for answer in answers})


@pytest.mark.parametrize("external_id", ["a/b", "auth0|7", "ồ 😀", "%2F", "?x#y", "x" * 255, "a:b,c;d", "'\"$"])
async def test_any_text_is_an_external_id(site: Site, external_id: str) -> None:
    created = await site.call("put", user_path(external_id), 201, display_name="Somebody")
    assert external_id == created["external_id"]
    assert external_id == (await site.call("get", user_path(external_id), 200))["external_id"]


@pytest.mark.parametrize("path", ["/users/%00", "/users/%ff", f"/users/{'x' * 256}", "/users/nobody"])
async def test_an_impossible_id_is_one_of_nobody(site: Site, path: str) -> None:
    await site.refusal(404, "not_found", "get", path)


async def test_a_user_is_shown_with_what_is_unread(site: Site) -> None:
    """And whether they are online, even if they show it to nobody else."""
    one, two = await site.user(), await site.user("Bình")
    state = await site.call("get", user_path(one), 200)
    assert (False, None, {"messages": 0, "notifications": 0}) == (state["online"], state["last_seen"], state["unread"])
    user, other = await site.sign_in(one), await site.sign_in(two)
    await user.call("patch", "/users/me", 200, json={"show_presence": False})
    chat = await other.call("post", "/conversations", 201, json={"participant_ids": [user.id]})
    for content in ("Hello", "there"):
        await other.call("post", f"/conversations/{chat['id']}/messages", 201, json={"content": content})
    await site.notify(one)
    async with user.stream() as stream:
        await stream.next()
        state = await site.call("get", user_path(one), 200)
        assert (True, None, {"messages": 2, "notifications": 1}) == (
            state["online"],
            state["last_seen"],
            state["unread"],
        )


async def test_a_token_is_one_of_loas_own(client: RestClient, site: Site) -> None:
    """It signs the user in, for as long as the site has said, and its session is among theirs."""
    person = await site.user()
    token = await site.call("post", f"{user_path(person)}/tokens", 201, expires_in=86_400)
    assert ("bearer", 86_400) == (token["token_type"], token["expires_in"])
    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    assert abs(claims["exp"] - time.time() - 86_400) < 60
    user = await site.sign_in(person)
    assert (await user.call("get", "/users/me", 200))["id"] == user.id == claims["sub"]
    sessions = (await user.call("get", "/auth/sessions", 200))["items"]
    assert ["shop", "shop"] == [session["user_agent"] for session in sessions]
    assert {claims["sid"]} == {session["id"] for session in sessions if not session["current"]}
    await user.call("delete", f"/auth/sessions/{claims['sid']}", 204)
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    answer = await client.get("/api/v1/users/me", headers=headers)
    assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])


async def test_a_request_for_a_token_needs_no_body(site: Site, client: RestClient) -> None:
    """`expires_in` has a default."""
    path = f"{PREFIX}{user_path(await site.user())}/tokens"
    answer = await client.post(path, headers={"Authorization": f"Bearer {KEY}"})
    assert (201, DEFAULT_TOKEN_SECONDS) == (answer.status_code, answer.json()["expires_in"])


async def test_nobody_gets_no_token(site: Site) -> None:
    await site.refusal(404, "not_found", "post", "/users/nobody/tokens")
    await site.refusal(422, "validation_failed", "post", f"{user_path(await site.user())}/tokens", expires_in=59)
