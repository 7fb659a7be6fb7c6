"""Deleting a user: at once for the user, in the background for everything that they have written."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import Run
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient
from tests.server_api.site import KEY, PREFIX, Site, user_path

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN = 30.0
"""Seconds for a deletion, which hardly takes one."""


async def deleted_message(reader: ApiUser, conversation_id: str) -> dict[str, Any]:
    """Wait until the first message of the conversation is a tombstone."""
    async with asyncio.timeout(WITHIN):
        while True:
            page = await reader.call("get", f"/conversations/{conversation_id}/messages", 200)
            (message,) = [item for item in page["items"] if item["kind"] == "text"]
            if message["deleted"]:
                return dict(message)
            await asyncio.sleep(0.05)


async def test_a_deleted_user_is_gone_at_once_and_their_texts_soon(client: RestClient, site: Site) -> None:
    """The id may be used for somebody new meanwhile."""
    person, other = await site.user("Bình"), await site.user()
    user, reader = await site.sign_in(person), await site.sign_in(other)
    group = await user.call("post", "/conversations", 201, json={"participant_ids": [reader.id], "title": "Two"})
    await user.call("post", f"/conversations/{group['id']}/messages", 201, json={"content": "Hello"})
    await site.call("delete", user_path(person), 202)
    await site.refusal(404, "not_found", "get", user_path(person))
    await site.refusal(404, "not_found", "delete", user_path(person))
    answer = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {user.token}"})
    assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])
    created = await site.call("put", user_path(person), 201, display_name="Somebody new")
    assert created["id"] != user.id
    assert "" == (await deleted_message(reader, group["id"]))["content"]
    async with asyncio.timeout(WITHIN):
        while not (await reader.call("get", f"/users/{user.id}", 200))["username"].startswith("deleted_"):
            await asyncio.sleep(0.05)
    assert "Somebody new" == (await site.call("get", user_path(person), 200))["display_name"]


async def test_a_user_of_the_site_deletes_their_account_without_a_password(client: RestClient, site: Site) -> None:
    """They have none. Their external id is free, and their tokens have ended."""
    person = await site.user()
    user, other_device = await site.sign_in(person), await site.sign_in(person)
    await user.call("delete", "/users/me", 204)
    for token in (user.token, other_device.token):
        answer = await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])
    await site.refusal(404, "not_found", "get", user_path(person))


async def test_a_deletion_survives_a_crash(run: Run) -> None:
    """The answer says that it will be done: the next process to start does it."""
    environment = {"API_KEYS": f"shop:{KEY}", "RATE_LIMITS": "off"}
    server = run(**environment)
    headers = {"Authorization": f"Bearer {KEY}"}

    async def call(method: str, path: str, token: str = "", **body: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=WITHIN) as client:
            given = {"Authorization": f"Bearer {token}"} if token else headers
            return await client.request(method, path, headers=given, json=body or None)

    tokens, ids = [], []
    prefix = PREFIX.removeprefix("/api/v1")
    for name in ("Bình", "An"):
        ids.append((await call("PUT", f"{prefix}/users/{name}", display_name=name)).json()["id"])
        tokens.append((await call("POST", f"{prefix}/users/{name}/tokens", expires_in=900)).json()["access_token"])
    group = (await call("POST", "/conversations", tokens[0], participant_ids=ids[1:], title="Two")).json()["id"]
    await call("POST", f"/conversations/{group}/messages", tokens[0], content="Hello")
    assert 202 == (await call("DELETE", f"{prefix}/users/Bình")).status_code
    server.kill()
    server = run(**environment)
    async with asyncio.timeout(WITHIN):
        while not (await call("GET", f"/users/{ids[0]}", tokens[1])).json()["username"].startswith("deleted_"):
            await asyncio.sleep(0.1)
    messages = (await call("GET", f"/conversations/{group}/messages", tokens[1])).json()["items"]
    assert [True] == [message["deleted"] for message in messages if message["kind"] == "text"]
