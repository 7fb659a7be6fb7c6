"""Every route answers any input with a status of its OpenAPI description."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from config.settings import Settings
from service.app import create_app
from service.datastores.mongo import Mongo
from tests.rest import RestClient, serving

ID = "0123456789abcdef01234567"
VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**53, 2**63, 2**64, 10**400),
    *("", " ", "x", "\0", "\u202e", "😀", "x" * 5000, ID, ID.upper(), "../../etc/passwd", "$where", "http://a b"),
    *([], [None], [ID], [ID, ID], ["x"] * 3000, {}, {"$gt": ""}, {"$ne": None}, {"a": {"b": []}}),
]
PIECES = ["x", ID, "%00", "%ff", "..%2f..", "%F0%9F%91%8D", "x" * 300, "$ne", "%ED%A0%80", "0"]


@pytest.fixture
async def client(settings: Settings, mongo: Mongo, redis: Redis) -> AsyncIterator[RestClient]:
    """A client of the whole service, without rate limits."""
    async with serving(create_app(settings=settings.model_copy(update={"rate_limits": "off"}))) as client:
        yield client


def statuses(operation: dict[str, Any]) -> set[int]:
    """Return the statuses in the description, and those of a URL that matches no route or another one."""
    return {int(status) for status in operation["responses"]} | {404, 405}


def assert_expected(operation: dict[str, Any], response: httpx.Response, what: object) -> None:
    assert response.status_code in statuses(operation), (response.request.method, response.url, what, response.text)
    # Otherwise, after a 401, everything else would pass untested.
    if operation.get("security"):
        assert response.status_code != 401 or response.json()["code"] == "bad_credentials"
    if response.status_code >= 400:
        assert "application/problem+json" == response.headers["content-type"]
        assert response.status_code == response.json()["status"]


async def signed_in(client: RestClient) -> dict[str, str]:
    response = await client.post("/api/v1/auth/register", json={"username": "alice", "password": "correct horse"})
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


async def operations(client: RestClient) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    document = (await client.get("/docs/openapi.json")).json()
    schemas = document["components"]["schemas"]
    return [
        (path, method, operation, schemas)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/")
        and not {"101"} & operation["responses"].keys()
        and "stream" not in path
        # They would end the session that the other requests need.
        and path not in ("/api/v1/auth/logout", "/api/v1/auth/register", "/api/v1/auth/login")
    ]


class TestEveryRoute:
    async def test_survives_any_body(self, client: RestClient) -> None:
        """Each field in turn has each invalid value."""
        headers = await signed_in(client)
        for path, method, operation, schemas in await operations(client):
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if not content:
                continue
            fields = schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"]
            for field, value in itertools.product(fields, VALUES):
                body = dict.fromkeys(fields, "hello there") | {field: value}
                response = await client.request(fill(path, ID), http_method=method, json=body, headers=headers)
                assert_expected(operation, response, body)

    async def test_survives_any_path(self, client: RestClient) -> None:
        """Invalid ids, and bytes that are not UTF-8."""
        headers = await signed_in(client)
        for path, method, operation, _ in await operations(client):
            for piece in PIECES if "{" in path else ():
                response = await client.request(fill(path, piece), http_method=method, headers=headers, content=b"{}")
                assert_expected(operation, response, piece)

    async def test_survives_any_query(self, client: RestClient) -> None:
        """Each parameter in turn has each invalid value."""
        headers = await signed_in(client)
        for path, method, operation, _ in await operations(client):
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    for value in VALUES:
                        params = {parameter["name"]: str(value)[:2000]}
                        response = await client.request(
                            fill(path, ID), http_method=method, headers=headers, params=params
                        )
                        assert_expected(operation, response, params)


def fill(path: str, piece: str) -> str:
    parts = [piece if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)
