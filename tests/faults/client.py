"""What both kinds of client have in common: they come back, after as long as they are told or have learnt to wait."""

import asyncio
import random

from tests.faults.front import LONGEST_PAUSE, Front
from tests.faults.people import Person
from tests.faults.waiting import Changes

FIRST_PAUSE = 0.05


class Client:
    """One device of `person`. `start` it, `leave` in the end; in between it connects again whenever it is cut off."""

    def __init__(self, person: Person, front: Front, random: random.Random) -> None:
        self.person = person
        self.front = front
        self.account = front.account
        self.connections = 0
        """How many times it has been let in."""
        self.barred = ""
        """Why it does not come back: what the server has said that lasts."""
        self.told_to_wait: list[int] = []
        """The `reconnect_after_ms` of each farewell."""
        self.online = False
        self.port = 0
        """Our own, of the connection there is."""
        self.held_back = asyncio.Event()
        """While it is clear, the client does not come back: its network has gone, too."""
        self.held_back.set()
        self.changes = Changes()
        self._random = random
        self._pause = FIRST_PAUSE
        self._wait_ms: int | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Come online, and stay so until `leave`."""
        self._task = asyncio.create_task(self._live())
        await self.changes.until(lambda: self.online or self.barred, f"{self.person.username} is let in")
        assert not self.barred, self.barred

    async def leave(self) -> None:
        """Close from our side, and do not come back."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self.online = False
            if not self._task.cancelled():
                self._task.result()

    async def connect(self) -> None:
        """One connection, from its opening to its end. What ends it is not told by an exception."""
        raise NotImplementedError

    async def _live(self) -> None:
        try:
            while not self.barred:
                self._wait_ms = None
                try:
                    await self.connect()
                finally:
                    self.online = False
                    self.changes.tell()
                if not self.barred:
                    await asyncio.sleep(self._next_pause())
                    await self.held_back.wait()
        except Exception as error:
            # Whoever waits for this client would wait for ever.
            self.barred = f"the client gave up: {error!r}"
            self.account.wrong.append(self.barred)
            self.changes.tell()
            raise

    def let_in(self) -> None:
        self.connections += 1
        self._pause = FIRST_PAUSE
        self.online = True
        self.changes.tell()

    def told_to_go(self, reconnect_after_ms: int) -> None:
        self._wait_ms = reconnect_after_ms
        self.told_to_wait.append(reconnect_after_ms)

    def _next_pause(self) -> float:
        if self._wait_ms is not None:
            return self._wait_ms / 1000
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return self._random.uniform(self._pause / 2, self._pause)
