"""The market of config/examples without Loa: what it accepts, and what it remembers for Loa."""

import base64
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from standardwebhooks import Webhook

from tests.rest import free_port
from tests.running import ROOT

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
URL = "http://market.test"
VARIABLES = {
    "AUTH_ISSUER": URL,
    "AUTH_KEY": "only-for-the-tests-and-32-bytes-long",
    "API_KEYS": "market:only-for-the-tests-and-32-characters",
    "WEBHOOK_SECRET": SECRET,
}
DATA = '{"id":"m1","kind":"text","conversation_external_id":"post-1-2"}'
EVENT = f'{{"type":"message.created","timestamp":"2026-01-01T00:00:00.000Z","data":{DATA}}}'


class Market:
    """The app in this process. Its Loa cannot be reached, so it remembers all calls."""

    def __init__(self, app: Any, database: Path) -> None:
        self._app = app
        self._database = database

    def client(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self._app)
        return httpx.AsyncClient(transport=transport, base_url=URL, headers=headers, follow_redirects=True)

    def browser(self) -> httpx.AsyncClient:
        return self.client(Origin=URL)

    async def person(self, username: str) -> httpx.AsyncClient:
        """Register someone and return their browser."""
        browser = self.browser()
        form = {"username": username, "name": username.title(), "password": "correct horse"}
        assert 200 == (await browser.post("/register", data=form)).status_code
        return browser

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database)) as database:
            return list(database.execute(query))

    def calls(self) -> list[tuple[str, str]]:
        """Return method and path of the calls of Loa that the market still has to make."""
        return self.rows("SELECT method, path FROM loa_calls ORDER BY id")


@pytest.fixture
async def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Market]:
    database = tmp_path / "market.db"
    unreachable = {"LOA_URL": f"http://127.0.0.1:{free_port()}", "MARKET_DATABASE": str(database)}
    for name, value in {**VARIABLES, **unreachable}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(ROOT / "config/examples")
    from market.app import app

    async with app.router.lifespan_context(app):
        yield Market(app, database)
    for name in [name for name in sys.modules if name.partition(".")[0] == "market"]:
        del sys.modules[name]


def signed(body: str = EVENT, *, id: str = "w1", age: timedelta = timedelta(0)) -> dict[str, str]:
    at = datetime.now(UTC) - age
    signature = Webhook(SECRET).sign(id, at, body)
    return {"webhook-id": id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


async def offer(browser: httpx.AsyncClient) -> None:
    await browser.post("/posts", data={"title": "Bicycle", "price": "10", "content": "Hardly used."})


class TestWebhook:
    async def test_is_stored_once_however_often_it_arrives(self, market: Market) -> None:
        await offer(await market.person("anna"))
        loa, headers = market.client(), signed()
        for _ in range(3):
            assert 204 == (await loa.post("/webhooks/loa", content=EVENT, headers=headers)).status_code
        assert [("w1", "message.created")] == market.rows("SELECT id, type FROM webhooks")
        assert [(1,)] == market.rows("SELECT messages FROM posts")

    @pytest.mark.parametrize(
        ("body", "changes", "age"),
        [
            (EVENT.replace("m1", "m2"), {}, 0),
            (EVENT, {"webhook-id": "w2"}, 0),
            (EVENT, {}, 6),
            (EVENT, {}, -6),
            (EVENT, {"webhook-signature": "nonsense"}, 0),
            (EVENT, {"webhook-signature": "v1,nonsense"}, 0),
            (b"\xff", {}, 0),
        ],
        ids=["altered", "other-id", "old", "from-the-future", "no-version", "no-base64", "no-text"],
    )
    async def test_is_refused_if_not_signed_by_loa(
        self, market: Market, body: str, changes: dict[str, str], age: int
    ) -> None:
        """Or if the signature is minutes old: it may be a repetition of what somebody has recorded."""
        headers = signed(age=timedelta(minutes=age)) | changes
        assert 401 == (await market.client().post("/webhooks/loa", content=body, headers=headers)).status_code
        assert [] == market.rows("SELECT * FROM webhooks")

    async def test_is_refused_without_a_signature(self, market: Market) -> None:
        assert 401 == (await market.client().post("/webhooks/loa", content=EVENT)).status_code


class TestCallsOfLoa:
    async def test_are_remembered_while_loa_cannot_be_reached(self, market: Market) -> None:
        """With what they are about: people, a comment, an order."""
        an, binh = await market.person("anna"), await market.person("binh")
        await offer(an)
        await binh.post("/posts/1/comments", data={"content": "Nice"})
        await binh.post("/posts/1/order")
        await an.post("/orders/1/ship")
        notification = ("POST", "/notifications")
        assert [("PUT", "/users/1"), ("PUT", "/users/2"), notification, notification, notification] == market.calls()
        bodies = "\n".join(body for (body,) in market.rows("SELECT body FROM loa_calls"))
        for expected in ('"COMMENT_ON_POST"', '"ORDER_PLACED"', '"ORDER_SHIPPED"', '"order-1-shipped"'):
            assert expected in bodies

    async def test_nobody_is_notified_of_their_own_comment(self, market: Market) -> None:
        an = await market.person("anna")
        await offer(an)
        await an.post("/posts/1/comments", data={"content": "Still available"})
        assert [("PUT", "/users/1")] == market.calls()

    async def test_a_chat_cannot_be_opened_without_loa(self, market: Market) -> None:
        await offer(await market.person("anna"))
        answer = await (await market.person("binh")).post("/posts/1/chat")
        assert (503, "5") == (answer.status_code, answer.headers["retry-after"])


class TestToken:
    async def test_names_the_person_and_the_session(self, market: Market) -> None:
        an = await market.person("anna")
        tokens = [
            jwt.decode(
                (await an.post("/loa/token")).json()["access_token"], VARIABLES["AUTH_KEY"], ["HS256"], issuer=URL
            )
            for _ in range(2)
        ]
        assert {"1"} == {token["sub"] for token in tokens}
        assert {"Anna"} == {token["name"] for token in tokens}
        assert 1 == len({token["sid"] for token in tokens})
        assert 0 < tokens[0]["exp"] - tokens[0]["iat"] <= 600

    async def test_needs_a_session(self, market: Market) -> None:
        an = await market.person("anna")
        assert 401 == (await market.browser().post("/loa/token")).status_code
        cookies = dict(an.cookies)
        await an.post("/logout")
        stolen = market.browser()
        stolen.cookies.update(cookies)
        assert 401 == (await stolen.post("/loa/token")).status_code


class TestForm:
    async def test_of_another_site_is_refused(self, market: Market) -> None:
        an = await market.person("anna")
        form = {"title": "Bicycle", "price": "10", "content": "x"}
        assert 403 == (await an.post("/posts", data=form, headers={"Origin": "http://evil.test"})).status_code
        assert [] == market.rows("SELECT * FROM posts")

    async def test_of_any_size_is_not_read(self, market: Market) -> None:
        an = await market.person("anna")
        assert 413 == (await an.post("/posts", data={"content": "x" * 70_000})).status_code

    async def test_only_the_author_ships_and_nobody_orders_twice(self, market: Market) -> None:
        an, binh, chi = [await market.person(username) for username in ("anna", "binh", "chi")]
        await offer(an)
        assert 409 == (await an.post("/posts/1/order")).status_code
        assert 200 == (await binh.post("/posts/1/order")).status_code
        assert 409 == (await chi.post("/posts/1/order")).status_code
        assert 404 == (await binh.post("/orders/1/ship")).status_code
        assert 200 == (await an.post("/orders/1/ship")).status_code
        assert 404 == (await an.post("/orders/1/ship")).status_code

    async def test_what_people_write_is_text(self, market: Market) -> None:
        an = await market.person("anna")
        await an.post("/posts", data={"title": "<b>x</b>", "price": "1", "content": "<script>alert(1)</script>"})
        page = (await an.get("/posts/1")).text
        assert "<script>alert" not in page
        assert "&lt;b&gt;x&lt;/b&gt;" in page
