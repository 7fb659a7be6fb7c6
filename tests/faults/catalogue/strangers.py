"""Thousands of connections say nothing, or half a request's head: they are let go, and who is signed in is served."""

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle

from service.http.request_deadlines import LIMITS, MAX_IDLE
from tests.faults.stage import Stage
from tests.faults.writers import talk

QUICK: list[dict[str, int]] = []
"""None: it waits for the limits twice over. `tests/security` opens fewer, once."""
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
"""Whom they come from: one address has 28,000 ports for one server."""
AT_ONCE = 200
HALF = b"GET /api/v1/users/me HTTP/1.1\r\nHost: loa\r\nX-Slow: "
GRACE = 15.0
"""Seconds that the busy server may take beyond the limits: a look at all of them every second, and the closing."""


class Stranger(asyncio.Protocol):
    """Says `words`, never anything more, and notes that it has been let go."""

    def __init__(self, words: bytes, gone: "set[Stranger]") -> None:
        self._words = words
        self._gone = gone
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if self._words:
            self.transport.write(self._words)

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.add(self)


async def run(stage: Stage, *, strangers: int = 10_000, clients: int = 20) -> None:
    """As many `strangers` of each kind, while as many `clients` talk."""
    await stage.serve()
    people = await stage.people(clients)
    group = await stage.group(people)
    talkers = await stage.sockets(people)
    async with talk(talkers, group):
        # What so many at once need, the process keeps for the next: what is looked for is what grows with each time.
        await come_and_go(stage, strangers)
        await stage.watch_leaks()
        await come_and_go(stage, strangers)
    await stage.audit_messages(group, talkers)
    await stage.verify()


async def come_and_go(stage: Stage, strangers: int) -> None:
    """As many of each kind, until those have been let go that are too many or too slow."""
    for kind, words, kept, limit in (
        ("silent", b"", MAX_IDLE, LIMITS["idle"]),
        ("half a head", HALF, 0, LIMITS["head"]),
    ):
        began = time.monotonic()
        gone: set[Stranger] = set()
        there = await arrive(stage, words, strangers, gone)
        stage.account.note(f"{kind}: connected", f"{len(there)} in {time.monotonic() - began:.1f} s")
        deadline = time.monotonic() + limit + GRACE
        while len(there) - len(gone) > kept:
            assert time.monotonic() < deadline, f"{kind}: {len(there) - len(gone)} are kept"
            await asyncio.sleep(0.1)
        stage.account.note(f"{kind}: let go", f"{len(gone)}, the last after {time.monotonic() - began:.1f} s")
        for one in there - gone:
            one.transport.abort()


async def arrive(stage: Stage, words: bytes, count: int, gone: set[Stranger]) -> set[Stranger]:
    """`count` of them, from all the addresses in turn."""
    loop = asyncio.get_running_loop()
    sources: Iterator[str] = cycle(ADDRESSES)
    there: set[Stranger] = set()
    while len(there) < count:
        some = [
            loop.create_connection(lambda: Stranger(words, gone), *stage.front.address, local_addr=(next(sources), 0))
            for _ in range(min(AT_ONCE, count - len(there)))
        ]
        there.update(one for _, one in await asyncio.gather(*some))
    return there
