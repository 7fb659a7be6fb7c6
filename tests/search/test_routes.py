"""`GET /search/messages` from outside: the contract's row, on a whole service."""

import asyncio
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from config.settings import Settings
from service.accounts.passwords import Passwords
from service.app import create_app
from service.datastores.mongo import Mongo
from tests.rest import RestClient, serving
from tests.webhooks.test_service import User, register

REFLECTED_WITHIN = 5.0
"""Seconds, by the contract."""


class Chat:
    """Two people and what they say to each other."""

    def __init__(self, client: RestClient, one: User, other: User, id: str) -> None:
        self.client, self.one, self.other, self.id = client, one, other, id

    async def say(self, content: str, user: User | None = None) -> dict[str, Any]:
        path = f"/conversations/{self.id}/messages"
        return dict(await (user or self.one).call("POST", path, content=content))

    async def search(self, user: User, **query: Any) -> dict[str, Any]:
        response = await self.client.get("/api/v1/search/messages", headers=user._headers, params=query)
        assert 200 == response.status_code, response.text
        return dict(response.json())

    async def until(self, contents: list[str], **query: Any) -> list[dict[str, Any]]:
        """Wait until the other one finds exactly these."""
        async with asyncio.timeout(REFLECTED_WITHIN):
            while contents != [
                each["message"]["content"] for each in (await self.search(self.other, **query))["items"]
            ]:
                await asyncio.sleep(0.05)
        return list((await self.search(self.other, **query))["items"])


@pytest.fixture
async def chat(client: RestClient) -> Chat:
    one, other = await register(client, "one"), await register(client, "other")
    conversation = await one.call("POST", "/conversations", participant_ids=[other.id])
    return Chat(client, one, other, conversation["id"])


async def test_messages_are_found_newest_first_and_highlighted(chat: Chat) -> None:
    """Highlights count code points; an edit and a deletion are reflected."""
    first = await chat.say("Chị Hương 👩🏽‍🚀 ơi, Hướng nào?")
    await chat.say("Không phải huong", chat.other)
    [second, found] = await chat.until(["Không phải huong", "Chị Hương 👩🏽‍🚀 ơi, Hướng nào?"], q="huo")
    assert [[11, 3]] == second["highlights"]
    assert [[4, 3], [19, 3]] == found["highlights"]
    assert first == found["message"]
    assert chat.id == found["conversation_id"]
    path = f"/conversations/{chat.id}/messages/{first['id']}"
    await chat.one.call("PATCH", path, content="Nothing of that")
    await chat.until(["Không phải huong"], q="huo")
    await chat.until(["Nothing of that"], q="noth")
    await chat.one.call("DELETE", path)
    await chat.until([], q="noth")
    assert 'loa_change_follower_lag_seconds{follower="search"}' in (await chat.client.get("/metrics")).text


async def test_pages_and_filters(chat: Chat) -> None:
    for number in range(3):
        await chat.say(f"word {number}")
    mine = await chat.say("word of the other", chat.other)
    await chat.until(["word of the other", "word 2", "word 1", "word 0"], q="word")
    for where in ({}, {"conversation_id": chat.id}):
        first = await chat.search(chat.one, q="word", limit=3, **where)
        rest = await chat.search(chat.one, q="word", limit=3, before=first["next"], **where)
        assert ["word 0"] == [each["message"]["content"] for each in rest["items"]]
        assert rest["next"] is None
    by_sender = await chat.search(chat.one, q="word", sender_id=chat.other.id)
    assert [mine["id"]] == [each["message"]["id"] for each in by_sender["items"]]
    stranger = await register(chat.client, "stranger")
    assert {"items": [], "next": None} == await chat.search(stranger, q="word")


WRONG: list[dict[str, Any]] = [
    *({}, {"q": ""}, {"q": "?!"}, {"q": "a" * 201}, {"q": "a " * 17}, {"q": ["a", "b"]}),
    *({"q": "a", name: "x"} for name in ("conversation_id", "sender_id", "limit", "before", "unknown")),
    *({"q": "a", "limit": limit} for limit in (0, 51)),
]


async def test_wrong_queries_are_refused(client: RestClient) -> None:
    user = await register(client, "anna")
    for query in WRONG:
        response = await client.get("/api/v1/search/messages", headers=user._headers, params=query)
        assert 422 == response.status_code, query
        assert "validation_failed" == response.json()["code"]
        assert response.json()["errors"][0]["field"] == (list(query)[-1] if query else "q")


async def test_conversations_of_others_do_not_exist(chat: Chat) -> None:
    stranger = await register(chat.client, "stranger")
    for conversation in (chat.id, "0" * 24):
        response = await chat.client.get(
            "/api/v1/search/messages",
            headers=stranger._headers,
            params={"q": "a", "conversation_id": conversation},
        )
        assert 404 == response.status_code


async def test_there_is_no_search_if_it_is_off(
    settings: Settings, mongo: Mongo, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.services.Passwords", partial(Passwords, time_cost=1, memory_cost=64))
    async with serving(create_app(settings=settings.model_copy(update={"search": "off"}))) as client:
        user = await register(client, "anna")
        response = await client.get("/api/v1/search/messages", headers=user._headers, params={"q": "a"})
        assert 404 == response.status_code
