"""The entry point of all clients: the current server's address, and a REST client that retries."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.faults.ledger import Json, Ledger
from tests.faults.users import User

API = "/api/v1"
REQUEST_TIMEOUT = 60.0
"""Seconds within which a request must get a response other than a refusal with a hint to retry."""
MAX_DELAY = 1.0
"""Seconds. Longer hints are shortened to this, because a run is short."""


class ApiClient:
    """A test may change `url`: new connections then go to the other server."""

    def __init__(self, ledger: Ledger, random: random.Random) -> None:
        self.url = ""
        self.ledger = ledger
        self._random = random
        self._tls = ssl.create_default_context()
        self._http = self._client()

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http://", "ws://")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    async def call(self, method: str, path: str, user: User | None = None, **options: Any) -> Json:
        """Send a request, retry if a client may, and return the JSON. Raises AssertionError for other failures."""
        response = await self.request(method, path, user, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def request(self, method: str, path: str, user: User | None = None, **options: Any) -> httpx.Response:
        """Like `call`, but returns any response except 429 and 503."""
        headers = {"Authorization": f"Bearer {user.token}"} if user else {}
        async with asyncio.timeout(REQUEST_TIMEOUT):
            while True:
                pause = self._random.uniform(0.05, 0.2)
                try:
                    response = await self._http.request(method, self.url + API + path, headers=headers, **options)
                except httpx.TransportError as error:
                    self.ledger.refusals[type(error).__name__] += 1
                else:
                    if response.status_code not in (429, 503):
                        return response
                    self.record_refusal(response.status_code, response.headers.get("Retry-After"))
                    pause = min(float(response.headers.get("Retry-After") or 1), MAX_DELAY)
                await asyncio.sleep(pause)

    def record_refusal(self, status: int, retry_after: str | None) -> None:
        """Record a refusal. Only 429 and 503 with a Retry-After header are allowed."""
        self.ledger.refusals[str(status)] += 1
        if status not in (429, 503) or not retry_after:
            self.ledger.violations.append(f"refused with {status}, Retry-After: {retry_after}")

    async def paginate(self, path: str, cursor: str, user: User, **query: Any) -> AsyncIterator[Json]:
        """Yield every item of a list, page by page."""
        while True:
            page = await self.call("GET", path, user, params=query)
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            query[cursor] = page["next"]

    async def metrics(self) -> dict[str, float]:
        """Return the values of /metrics by name and labels."""
        text = (await self._http.get(self.url + "/metrics")).text
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    async def close_idle_connections(self) -> None:
        """Close the idle keep-alive connections."""
        before, self._http = self._http, self._client()
        await before.aclose()

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=200)
        return httpx.AsyncClient(timeout=20, limits=limits, trust_env=False, verify=self._tls)

    async def close(self) -> None:
        await self._http.aclose()
