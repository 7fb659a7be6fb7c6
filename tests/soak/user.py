"""Simulated users who send messages, write comments, connect and disconnect for as long as the run lasts."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

MEAN_PAUSE = 0.5
"""Mean seconds between two actions of one user."""
MEAN_CONNECTION_TIME = 10.0
"""Mean seconds that a connection lasts."""
RESPONSE_TIMEOUT = 30.0
API = "/api/v1"


class SoakUser:
    """A simulated user. `counts` counts actions and events; any failure ends the run, because at this load none may
    occur."""

    def __init__(self, http: httpx.AsyncClient, name: str, random_source: random.Random, counts: Counter[str]) -> None:
        self._http = http
        self._name = name
        self._random = random_source
        self._counts = counts
        self._token = ""
        self.id = ""

    async def register(self) -> None:
        body = {"username": self._name, "password": "correct horse battery"}
        signed_in = await self._post("/auth/register", body)
        self.id, self._token = signed_in["user"]["id"], signed_in["access_token"]

    async def create_group(self, others: "list[SoakUser]") -> str:
        """Create a group. Returns its id."""
        body = {"participant_ids": [other.id for other in others], "title": "Soak"}
        return str((await self._post("/conversations", body))["id"])

    async def run(self, groups: list[str], seconds: float) -> None:
        """Use a WebSocket and a stream, reconnecting now and then, for `seconds`."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            url = f"{str(self._http.base_url).replace('http', 'ws', 1).rstrip('/')}{API}/ws/chat?token={self._token}"
            following = asyncio.create_task(self._follow())
            try:
                async with connect(url, compression=None, proxy=None, max_size=None) as socket:
                    await self._chat(socket, groups, min(left, self._random.expovariate(1 / MEAN_CONNECTION_TIME)))
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
            self._counts["reconnects"] += 1

    async def _chat(self, socket: ClientConnection, groups: list[str], seconds: float) -> None:
        answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        reading = asyncio.create_task(self._read(socket, answers))
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            group, ref = self._random.choice(groups), str(self._random.getrandbits(40))
            kind = self._random.choices(("send_message", "typing", "read", "comment"), (10, 4, 4, 1))[0]
            if kind == "comment":
                post = await self._post("/posts", {"content": "A post"})
                await self._post(f"/posts/{post['id']}/comments", {"content": "A comment"})
            else:
                more = {"send_message": {"content": "x" * self._random.randrange(1, 400)}, "read": {"seq": 2**40}}
                answers[ref] = asyncio.get_running_loop().create_future()
                frame = {"type": kind, "ref": ref, "conversation_id": group, **more.get(kind, {})}
                await socket.send(json.dumps(frame))
                async with asyncio.timeout(RESPONSE_TIMEOUT):
                    answer = await answers[ref]
                del answers[ref]
                if answer["type"] != "ack":
                    raise AssertionError(f"{kind}: {answer['code']}")
            self._counts[kind] += 1
            await asyncio.sleep(self._random.expovariate(1 / MEAN_PAUSE))
        await socket.close()
        await reading

    async def _read(self, socket: ClientConnection, answers: dict[str, asyncio.Future[dict[str, Any]]]) -> None:
        with suppress(ConnectionClosed):
            async for text in socket:
                event = json.loads(text)
                self._counts["received"] += 1
                if event["type"] in ("ack", "error") and (answer := answers.get(event["ref"])):
                    answer.set_result(event)

    async def _follow(self) -> None:
        url = f"{API}/notifications/stream?token={self._token}"
        async with self._http.stream("GET", url, timeout=None) as answer:
            answer.raise_for_status()
            async for _ in answer.aiter_bytes():
                pass

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = await self._http.post(API + path, json=body, headers=headers, timeout=RESPONSE_TIMEOUT)
        answer.raise_for_status()
        return dict(answer.json())
