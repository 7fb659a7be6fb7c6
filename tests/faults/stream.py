"""A device on the notification stream, as an `EventSource` with its `Last-Event-ID` is."""

import asyncio
import json
import random

from tests.faults.account import Json
from tests.faults.client import Client
from tests.faults.front import API, LONGEST_PAUSE, Front
from tests.faults.people import Person
from tests.protocol.sse import Event, Parser

CHUNK = 65536
OPEN_LIMIT = 30.0


class StreamClient(Client):
    """Everything of its user's, from the first notification on."""

    def __init__(self, person: Person, front: Front, random: random.Random) -> None:
        super().__init__(person, front, random)
        self.seq = 0
        self.notifications: dict[int, Json] = {}
        self._fetched: set[int] = set()
        self._line = front.account.notifications
        self._fetching: asyncio.Task[None] | None = None

    async def leave(self) -> None:
        await super().leave()
        if self._fetching:
            await self._fetching

    async def connect(self) -> None:
        if self._fetching:
            # Only then is it known what to ask for.
            await self._fetching
        try:
            async with asyncio.timeout(OPEN_LIMIT):
                reader, writer = await asyncio.open_connection(*self.front.address)
        except (OSError, TimeoutError) as error:
            self.account.refused[type(error).__name__] += 1
            return
        self.port = writer.get_extra_info("sockname")[1]
        try:
            await self._read(reader, writer)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.account.ended[f"stream {type(error).__name__}"] += 1
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.front.address
        lines = (
            f"GET {API}/notifications/stream HTTP/1.1",
            f"Host: {host}:{port}",
            "Accept: text/event-stream",
            f"Authorization: Bearer {self.person.token}",
            f"Last-Event-ID: {self.seq}",
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        if status != 200:
            self._refused(status, head)
            return
        parser = Parser()
        while data := await reader.read(CHUNK):
            for event in parser.feed(data):
                self._take(event)
        self.account.ended["stream"] += 1

    def _refused(self, status: int, head: str) -> None:
        if status == 401:
            self.barred = "401"
            return
        found = [line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith("retry-after")]
        self.front.refusal(status, found[0] if found else None)
        self._wait_ms = int(min(float(found[0] if found else 1), LONGEST_PAUSE) * self._random.uniform(500, 1500))

    def _take(self, event: Event) -> None:
        data = json.loads(event.data)
        if event.type == "message":
            self._take_notification(data)
        elif event.type == "hello":
            self.let_in()
        elif event.type == "reset":
            self.account.resets[f"stream {data['reason']}"] += 1
            self._fetching = asyncio.create_task(self._fetch(self._fetching))
        elif event.type == "draining":
            self.told_to_go(data["reconnect_after_ms"])
        self.changes.tell()

    def _take_notification(self, notification: Json) -> None:
        seq = notification["seq"]
        who = f"{self.person.username}: {seq}"
        if self._fetching and not self._fetching.done():
            # Told that it missed something: the list, which is on its way, holds this one, too, or it comes now.
            self.notifications.setdefault(seq, notification)
            self._line.received += 1
            return
        if seq in self._fetched:
            # The list had it while it was on its way.
            self._fetched.discard(seq)
            self._line.overlap += 1
            return
        if seq <= self.seq:
            self._line.doubled.append(f"{who} after {self.seq}")
            return
        if seq > self.seq + 1:
            self._line.silent.append(f"{who} after {self.seq}")
        self._line.received += 1
        self.notifications[seq] = notification
        self.seq = seq

    async def _fetch(self, before: "asyncio.Task[None] | None") -> None:
        if before:
            await before
        found = [
            notification async for notification in self.front.pages("/notifications", "before", self.person, limit=100)
        ]
        for notification in found:
            if notification["seq"] not in self.notifications:
                self.notifications[notification["seq"]] = notification
                self._fetched.add(notification["seq"])
                self._line.fetched += 1
        while self.seq + 1 in self.notifications:
            self.seq += 1
        self.changes.tell()
