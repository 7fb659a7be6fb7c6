"""A device on the notification stream, which behaves like an `EventSource` with `Last-Event-ID`."""

import asyncio
import json
import random

from tests.faults.api_client import API, MAX_DELAY, ApiClient
from tests.faults.client import Client
from tests.faults.ledger import Json
from tests.faults.users import User
from tests.protocol.sse import Event, Parser

OPEN_TIMEOUT = 30.0


class StreamClient(Client):
    """Collects all notifications of its user, from the first one on."""

    def __init__(self, user: User, api: ApiClient, random: random.Random) -> None:
        super().__init__(user, api, random)
        self.seq = 0
        self.notifications: dict[int, Json] = {}
        self._fetched: set[int] = set()
        self._deliveries = api.ledger.notifications
        self._fetching: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        await super().stop()
        if self._fetching:
            await self._fetching

    async def connect(self) -> None:
        if self._fetching:
            # Only then is the number known from which to resume.
            await self._fetching
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                reader, writer = await asyncio.open_connection(*self.api.address)
        except (OSError, TimeoutError) as error:
            self.ledger.refusals[type(error).__name__] += 1
            return
        self.port = writer.get_extra_info("sockname")[1]
        try:
            await self._read(reader, writer)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.ledger.closes[f"stream {type(error).__name__}"] += 1
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.api.address
        lines = (
            f"GET {API}/notifications/stream HTTP/1.1",
            f"Host: {host}:{port}",
            "Accept: text/event-stream",
            f"Authorization: Bearer {self.user.token}",
            f"Last-Event-ID: {self.seq}",
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        if status != 200:
            self._on_refused(status, head)
            return
        parser = Parser()
        # Chunks (RFC 9112, 7.1); the last one is empty.
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            for event in parser.feed(await reader.readexactly(size)):
                self._on_event(event)
            await reader.readexactly(2)
        self.ledger.closes["stream"] += 1

    def _on_refused(self, status: int, head: str) -> None:
        if status == 401:
            self.terminal_reason = "401"
            return
        found = [line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith("retry-after")]
        self.api.record_refusal(status, found[0] if found else None)
        self._reconnect_after_ms = int(
            min(float(found[0] if found else 1), MAX_DELAY) * self._random.uniform(500, 1500)
        )

    def _on_event(self, event: Event) -> None:
        data = json.loads(event.data)
        if event.type == "message":
            self._on_notification(data)
        elif event.type == "hello":
            self.on_connected()
        elif event.type == "reset":
            self.ledger.resets[f"stream {data['reason']}"] += 1
            self._fetching = asyncio.create_task(self._fetch(self._fetching))
        elif event.type == "draining":
            self.on_draining(data["reconnect_after_ms"])
        self.changes.notify()

    def _on_notification(self, notification: Json) -> None:
        seq = notification["seq"]
        who = f"{self.user.username}: {seq}"
        if self._fetching and not self._fetching.done():
            # A fetch is running after a reset: this notification may be in its result as well.
            self.notifications.setdefault(seq, notification)
            self._deliveries.received += 1
            return
        if seq in self._fetched:
            # The fetched list contained it already.
            self._fetched.discard(seq)
            self._deliveries.overlap += 1
            return
        if seq <= self.seq:
            self._deliveries.doubled.append(f"{who} after {self.seq}")
            return
        if seq > self.seq + 1:
            self._deliveries.silent.append(f"{who} after {self.seq}")
        self._deliveries.received += 1
        self.notifications[seq] = notification
        self.seq = seq

    async def _fetch(self, before: "asyncio.Task[None] | None") -> None:
        if before:
            await before
        found = [
            notification async for notification in self.api.paginate("/notifications", "before", self.user, limit=100)
        ]
        for notification in found:
            if notification["seq"] not in self.notifications:
                self.notifications[notification["seq"]] = notification
                self._fetched.add(notification["seq"])
                self._deliveries.fetched += 1
        while self.seq + 1 in self.notifications:
            self.seq += 1
        self.changes.notify()
