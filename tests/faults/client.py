"""The base of both clients: reconnecting after the delay that the server announced, or with backoff."""

import asyncio
import random

from tests.faults.api_client import MAX_DELAY, ApiClient
from tests.faults.change_notifier import ChangeNotifier
from tests.faults.users import User

INITIAL_BACKOFF = 0.05


class Client:
    """One device of `user`. `start` connects it, `stop` ends it; it reconnects whenever it is disconnected."""

    def __init__(self, user: User, api: ApiClient, random: random.Random) -> None:
        self.user = user
        self.api = api
        self.ledger = api.ledger
        self.connections = 0
        """The number of successful connections."""
        self.terminal_reason = ""
        """Why the client does not reconnect: the reason of a final rejection."""
        self.reconnect_delays: list[int] = []
        """The `reconnect_after_ms` of each `draining` event."""
        self.online = False
        self.port = 0
        """The local port of the current connection."""
        self.may_reconnect = asyncio.Event()
        """While it is clear, the client does not reconnect: its network is down, too."""
        self.may_reconnect.set()
        self.changes = ChangeNotifier()
        self._random = random
        self._backoff = INITIAL_BACKOFF
        self._reconnect_after_ms: int | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._task = asyncio.create_task(self._run())
        await self.changes.wait_until(lambda: self.online or self.terminal_reason, f"{self.user.username} connects")
        assert not self.terminal_reason, self.terminal_reason

    async def stop(self) -> None:
        """Disconnect, and do not reconnect."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self.online = False
            if not self._task.cancelled():
                self._task.result()

    async def connect(self) -> None:
        """Run one connection from opening to end. The end of a connection is not reported by an exception."""
        raise NotImplementedError

    async def _run(self) -> None:
        try:
            while not self.terminal_reason:
                self._reconnect_after_ms = None
                try:
                    await self.connect()
                finally:
                    self.online = False
                    self.changes.notify()
                if not self.terminal_reason:
                    await asyncio.sleep(self._next_delay())
                    await self.may_reconnect.wait()
        except Exception as error:
            # Without this, tasks that wait for this client would wait for ever.
            self.terminal_reason = f"the client gave up: {error!r}"
            self.ledger.violations.append(self.terminal_reason)
            self.changes.notify()
            raise

    def on_connected(self) -> None:
        self.connections += 1
        self._backoff = INITIAL_BACKOFF
        self.online = True
        self.changes.notify()

    def on_draining(self, reconnect_after_ms: int) -> None:
        self._reconnect_after_ms = reconnect_after_ms
        self.reconnect_delays.append(reconnect_after_ms)

    def _next_delay(self) -> float:
        if self._reconnect_after_ms is not None:
            return self._reconnect_after_ms / 1000
        self._backoff = min(self._backoff * 2, MAX_DELAY)
        return self._random.uniform(self._backoff / 2, self._backoff)
