"""Where the clients connect to, and how they ask over HTTP: what a load balancer is to them."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.faults.account import Account, Json
from tests.faults.people import Person

API = "/api/v1"
PATIENCE = 60.0
"""Seconds in which a request has to be answered by something else than a refusal that hints at a later time."""
LONGEST_PAUSE = 1.0
"""Seconds; a hint to wait longer is shortened to it, for a run is short."""


class Front:
    """`url` may change: who comes next comes to the other server."""

    def __init__(self, account: Account, random: random.Random) -> None:
        self.url = ""
        self.account = account
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

    async def call(self, method: str, path: str, person: Person | None = None, **options: Any) -> Json:
        """The JSON of a success. What a client may try again is tried again; raises AssertionError for all else."""
        response = await self.request(method, path, person, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def request(self, method: str, path: str, person: Person | None = None, **options: Any) -> httpx.Response:
        """As `call`, but any answer that is no "later" is the answer."""
        headers = {"Authorization": f"Bearer {person.token}"} if person else {}
        async with asyncio.timeout(PATIENCE):
            while True:
                pause = self._random.uniform(0.05, 0.2)
                try:
                    response = await self._http.request(method, self.url + API + path, headers=headers, **options)
                except httpx.TransportError as error:
                    self.account.refused[type(error).__name__] += 1
                else:
                    if response.status_code not in (429, 503):
                        return response
                    self.refusal(response.status_code, response.headers.get("Retry-After"))
                    pause = min(float(response.headers.get("Retry-After") or 1), LONGEST_PAUSE)
                await asyncio.sleep(pause)

    def refusal(self, status: int, hint: str | None) -> None:
        """Somebody was told `status` instead of being served: only "later" will do, and it has to say when."""
        self.account.refused[str(status)] += 1
        if status not in (429, 503) or not hint:
            self.account.wrong.append(f"refused with {status}, Retry-After: {hint}")

    async def pages(self, path: str, cursor: str, person: Person, **query: Any) -> AsyncIterator[Json]:
        """Every item of a list, page by page."""
        while True:
            page = await self.call("GET", path, person, params=query)
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            query[cursor] = page["next"]

    async def metrics(self) -> dict[str, float]:
        """What /metrics says, by name and labels as they are written there."""
        text = (await self._http.get(self.url + "/metrics")).text
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    async def hang_up(self) -> None:
        """Let go of the connections that are kept for the next request."""
        before, self._http = self._http, self._client()
        await before.aclose()

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=200)
        return httpx.AsyncClient(timeout=20, limits=limits, trust_env=False, verify=self._tls)

    async def close(self) -> None:
        await self._http.aclose()
