"""The keys of a site's servers: what they open, what opens nothing, and what the log says."""

import hmac
import re
from typing import Any

import pytest

from config.settings import ApiKey
from service.common.errors import KeyInvalid
from service.http.limits import RateLimit
from service.server_api.keys import ApiKeys
from tests.conftest import Run
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient
from tests.server_api.site import KEY, ORIGIN, OTHER_KEY, PREFIX, Site, user_path

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def routes(client: RestClient) -> list[tuple[str, str]]:
    document = (await client.get("/docs/openapi.json")).json()
    return [
        (method, re.sub(r"\{\w+\}", "x", path))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["security"] == [{"api_key": []}]
    ]


async def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after one of them has matched, and as hashes: the time tells nothing about how much of a key is right."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = ApiKeys([ApiKey("shop", KEY), ApiKey("forum", OTHER_KEY)])
    for given, name in [(KEY, "shop"), (OTHER_KEY, "forum")]:
        compared.clear()
        assert name == keys.name_of(given)
        assert 2 == len(compared)
        assert {32} == {len(digest) for pair in compared for digest in pair}


@pytest.mark.parametrize("given", [None, "", KEY[:-1], KEY + "x", KEY.upper(), f"shop:{KEY}", "shop", "\udc80"])
async def test_another_key_is_refused(given: str | None) -> None:
    with pytest.raises(KeyInvalid):
        ApiKeys([ApiKey("shop", KEY)]).name_of(given)


async def test_no_operation_is_open_without_a_key(client: RestClient) -> None:
    """Whatever else a request has: a key in the URL or a cookie, or the token of a user. It is checked first."""
    person = await ApiUser.register(client)
    found = await routes(client)
    assert len(found) >= 4
    for method, path in found:
        for headers, query in [
            ({}, ""),
            ({"Authorization": f"Bearer {KEY}x"}, ""),
            ({"Authorization": f"Basic {KEY}"}, ""),
            ({"Authorization": f"Bearer {person.token}"}, ""),
            ({"Cookie": f"key={KEY}; Authorization=Bearer {KEY}"}, ""),
            ({}, f"?token={KEY}&key={KEY}"),
        ]:
            answer = await client.request(path + query, http_method=method, headers=headers, content=b"{")
            assert (401, "key_invalid") == (answer.status_code, answer.json()["code"]), (method, path, headers)
            assert "Bearer" == answer.headers["www-authenticate"]


async def test_every_change_has_a_limit_of_its_own(client: RestClient) -> None:
    """Reads share one. They are counted by the name of the key (`test_running_server`)."""
    handlers = {
        f"{method} {route.path}": route.handler
        for route in client.app.router.routes
        for method in route.methods - {"GET", "HEAD", "OPTIONS"}
        if f"/{route.path}".startswith(PREFIX)
    }
    assert len(handlers) >= 9
    assert [] == [name for name, handler in handlers.items() if not isinstance(handler.limit, RateLimit)]


async def test_a_key_opens_nothing_else(client: RestClient) -> None:
    """To every other operation it is an invalid token."""
    document = (await client.get("/docs/openapi.json")).json()
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if {"bearer": []} in operation["security"] and "101" not in operation["responses"]:
                path = re.sub(r"\{\w+\}", "0" * 24, path)
                headers = {"Authorization": f"Bearer {KEY}"}
                answer = await client.request(path, http_method=method, headers=headers)
                assert (401, "token_invalid") == (answer.status_code, answer.json()["code"]), (method, path)
                tried += 1
    assert tried > 30


async def test_the_origin_of_a_request_means_nothing(site: Site) -> None:
    """No browser has a key, so what it would say of the page is not asked."""
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = await site.send("put", user_path("somebody"), headers, display_name="Somebody")
        assert answer.status_code in (200, 201)


async def test_no_page_may_read_an_answer(client: RestClient, site: Site) -> None:
    """Not even one whose origin is allowed elsewhere."""
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    for path, allowed in [("/api/v1/users/me", True), (f"{PREFIX}/users/somebody", False)]:
        preflight = await client.options(path, headers=headers)
        answer = await client.get(path, headers={"Origin": ORIGIN, "Authorization": f"Bearer {KEY}"})
        for response in (preflight, answer):
            cors = [name for name in response.headers if name.startswith("access-control-")]
            assert allowed is bool(cors), (path, cors)


async def test_the_document_has_a_scheme_and_examples(client: RestClient) -> None:
    """Every body has an example that its own schema accepts (`test_documents`)."""
    document = (await client.get("/docs/openapi.json")).json()
    assert "http" == document["components"]["securitySchemes"]["api_key"]["type"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith(PREFIX):
                assert [{"api_key": []}] == operation["security"], (method, path)
                if body := operation.get("requestBody"):
                    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    assert document["components"]["schemas"][name]["example"], name


async def test_without_keys_there_is_nothing(run: Run) -> None:
    """Nor is anything of it documented."""
    server = run()
    paths: Any = [f"{PREFIX}/users/x", f"{PREFIX}/notifications", f"{PREFIX}/announcements", PREFIX]
    assert [404] * len(paths) == [server.status(path) for path in paths]
