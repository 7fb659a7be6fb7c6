"""A server of a site beside Loa, and the people of that site."""

import asyncio
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from tests.notifications.api_user import ApiUser
from tests.rest import RestClient

KEY = "the-shops-key-of-32-characters-or-more"
OTHER_KEY = "the-forums-key-of-32-characters-or-more"
ORIGIN = "https://site.example"
PREFIX = "/api/v1/server"


class Site:
    def __init__(self, client: RestClient, key: str = KEY) -> None:
        self.client = client
        self._headers = {"Authorization": f"Bearer {key}"}

    def with_key(self, key: str) -> "Site":
        return Site(self.client, key)

    async def send(self, method: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        arguments = {"json": body} if method in ("post", "put", "patch") else {}
        request = getattr(self.client, method)
        response: httpx.Response = await request(
            f"{PREFIX}{path}", headers=self._headers | (headers or {}), **arguments
        )
        return response

    async def call(self, method: str, path: str, status: int, **body: Any) -> Any:
        """Send a request, check its status, and return the JSON of the response."""
        response = await self.send(method, path, **body)
        assert status == response.status_code, response.text
        return response.json() if response.content else None

    async def refusal(self, status: int, code: str, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Send a request that is refused, and return the problem document."""
        problem: dict[str, Any] = await self.call(method, path, status, **body)
        assert code == problem["code"]
        return problem

    async def user(self, display_name: str = "Someone") -> str:
        """Create a user and return the external id."""
        external_id = f"person-{uuid4().hex}"
        await self.call("put", user_path(external_id), 201, display_name=display_name)
        return external_id

    async def users(self, count: int) -> list[str]:
        return list(await asyncio.gather(*[self.user() for _ in range(count)]))

    async def sign_in(self, external_id: str, **body: Any) -> ApiUser:
        """Return the user with a token of their own."""
        token = await self.call("post", f"{user_path(external_id)}/tokens", 201, **body)
        user = await self.call("get", user_path(external_id), 200)
        return ApiUser(self.client, {"user": user, "access_token": token["access_token"], "refresh_token": ""})

    async def notify(self, *to: str, status: int = 202, **fields: Any) -> Any:
        body = {"type": "ORDER_SHIPPED", "to": list(to), "preview": "It is on its way", **fields}
        return await self.call("post", "/notifications", status, **body)


def user_path(external_id: str) -> str:
    return f"/users/{quote(external_id, safe='')}"
