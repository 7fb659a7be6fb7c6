"""People of moderate number who use a server for as long as one likes: they talk, comment, come and go."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PAUSE = 0.5
"""Seconds between two things that one person does, on average."""
STAY = 10.0
"""Seconds that one of their connections lasts, on average."""
ANSWER = 30.0
API = "/api/v1"


class Person:
    """One of them. `done` counts what they did; whatever fails ends the run: at this load nothing may."""

    def __init__(self, http: httpx.AsyncClient, name: str, dice: random.Random, done: Counter[str]) -> None:
        self._http = http
        self._name = name
        self._dice = dice
        self._done = done
        self._token = ""
        self.id = ""

    async def register(self) -> None:
        body = {"username": self._name, "password": "correct horse battery"}
        signed_in = await self._post("/auth/register", body)
        self.id, self._token = signed_in["user"]["id"], signed_in["access_token"]

    async def talk(self, others: "list[Person]") -> str:
        """The id of a new group."""
        body = {"participant_ids": [other.id for other in others], "title": "Soak"}
        return str((await self._post("/conversations", body))["id"])

    async def live(self, rooms: list[str], seconds: float) -> None:
        """Be there for so long, on a socket and a stream that are now and then left and opened anew."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            url = f"{str(self._http.base_url).replace('http', 'ws', 1).rstrip('/')}{API}/ws/chat?token={self._token}"
            following = asyncio.create_task(self._follow())
            try:
                async with connect(url, compression=None, proxy=None, max_size=None) as socket:
                    await self._chat(socket, rooms, min(left, self._dice.expovariate(1 / STAY)))
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
            self._done["came and went"] += 1

    async def _chat(self, socket: ClientConnection, rooms: list[str], seconds: float) -> None:
        answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        reading = asyncio.create_task(self._read(socket, answers))
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            room, ref = self._dice.choice(rooms), str(self._dice.getrandbits(40))
            kind = self._dice.choices(("send_message", "typing", "read", "comment"), (10, 4, 4, 1))[0]
            if kind == "comment":
                post = await self._post("/posts", {"content": "A post"})
                await self._post(f"/posts/{post['id']}/comments", {"content": "A comment"})
            else:
                more = {"send_message": {"content": "x" * self._dice.randrange(1, 400)}, "read": {"seq": 2**40}}
                answers[ref] = asyncio.get_running_loop().create_future()
                frame = {"type": kind, "ref": ref, "conversation_id": room, **more.get(kind, {})}
                await socket.send(json.dumps(frame))
                async with asyncio.timeout(ANSWER):
                    answer = await answers[ref]
                del answers[ref]
                if answer["type"] != "ack":
                    raise AssertionError(f"{kind}: {answer['code']}")
            self._done[kind] += 1
            await asyncio.sleep(self._dice.expovariate(1 / PAUSE))
        await socket.close()
        await reading

    async def _read(self, socket: ClientConnection, answers: dict[str, asyncio.Future[dict[str, Any]]]) -> None:
        with suppress(ConnectionClosed):
            async for text in socket:
                event = json.loads(text)
                self._done["received"] += 1
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
        answer = await self._http.post(API + path, json=body, headers=headers, timeout=ANSWER)
        answer.raise_for_status()
        return dict(answer.json())
