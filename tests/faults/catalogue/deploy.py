"""SIGTERM under load, with a second process to go to: all are told where, spread out, and nothing is lost."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.faults.client import Client
from tests.faults.stage import Stage
from tests.faults.writers import comment, talk

QUICK = [{"sockets": 60, "streams": 60, "seconds": 1}]
GROUP = 50
EXIT_WITHIN = 20.0
RATE = 300
"""Clients that one process may call back within one second: 200, and what chance adds (see `service.app.drain`)."""


async def run(stage: Stage, *, sockets: int = 1000, streams: int = 1000, workers: int = 2, seconds: int = 3) -> None:
    """`seconds` of load before the signal, and again after the change."""
    old = await stage.serve(WEB_CONCURRENCY=str(workers))
    people = await stage.people(sockets)
    groups = [people[first : first + GROUP] for first in range(0, sockets, GROUP)]
    ids = [await stage.group(group) for group in groups]
    authors = [group[0] for group in groups]
    posts = [await stage.post(author) for author in authors]
    chats = await stage.sockets(people)
    each = -(-streams // len(authors))
    follows = await stage.streams([author for author in authors for _ in range(each)][:streams])
    async with AsyncExitStack() as load:
        for place, (id, post) in enumerate(zip(ids, posts, strict=True)):
            await load.enter_async_context(talk([chats[place * GROUP + 1]], id, pause=0.2))
            await load.enter_async_context(comment(stage.front, [groups[place][1]], post, pause=0.4))
        new = await stage.serve(WEB_CONCURRENCY=str(workers))
        await stage.watch_leaks()
        await asyncio.sleep(seconds)
        began = time.monotonic()
        old.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(old.wait, EXIT_WITHIN) == 0, "the exit code"
        stage.account.note("the old process ended after", f"{time.monotonic() - began:.1f} s")
        for client in stage.clients:
            await client.changes.until(lambda client=client: client.connections == 2 and client.online, "it is back")
        stage.account.note("all were back after", f"{time.monotonic() - began:.1f} s")
        await asyncio.sleep(seconds)
    assert {"1012 restart": sockets, "stream": streams} == dict(stage.account.ended)
    note_spread(stage, stage.clients, workers)
    for place, id in enumerate(ids):
        await stage.audit_messages(id, chats[place * GROUP : (place + 1) * GROUP])
        await stage.audit_notifications(authors[place], [posts[place]], follows[place * each : (place + 1) * each])
    assert new.process.poll() is None
    await stage.verify()


def note_spread(stage: Stage, clients: Sequence[Client], workers: int) -> None:
    """Each was told once when to come back, and never too many the same second."""
    assert all(len(client.told_to_wait) == 1 for client in clients), "told once"
    told = sorted(client.told_to_wait[0] for client in clients)
    seconds = Counter(wait // 1000 for wait in told)
    most = max(seconds.values())
    stage.account.note("told to come back after", f"{told[0]} to {told[-1]} ms, at most {most} within one second")
    assert most <= RATE * workers
    assert len(set(told)) > len(told) / 4, "together"
