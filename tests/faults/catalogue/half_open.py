"""A peer's network goes without a word: within 45 s it is gone from the server, its connections and its presence."""

import asyncio
import time

from service.realtime.connection import IDLE_TIMEOUT
from tests.faults import leaks
from tests.faults.network import FarProxy, network
from tests.faults.stage import Stage
from tests.faults.writers import talk

QUICK: list[dict[str, int]] = []
"""It takes its 45 seconds."""
LATE = 3.0
"""Seconds for a timer that looks once a second, and for word of it to get round."""


async def run(stage: Stage, *, clients: int = 20) -> None:
    far = await stage.enter(network())
    server = await stage.serve(HOST=far.host, WEB_CONCURRENCY="2")
    people = await stage.people(clients)
    watcher, talker = await stage.people(2)
    group = await stage.group([watcher, talker, *people])
    near = await stage.sockets([watcher, talker])
    await near[0].watch(people)
    await stage.watch_leaks()
    there = leaks.clients(server)
    proxy = await stage.enter(FarProxy(server.url, far))
    near_url, stage.front.url = server.url, proxy.url
    sockets, streams = await stage.sockets(people), await stage.streams(people)
    online = near[0].presence
    await near[0].changes.until(lambda: all(online.get(person.id) for person in people), "all are online")
    async with talk(near[1:], group, pause=0.5):
        await asyncio.sleep(1)
        for client in (*sockets, *streams):
            client.held_back.clear()
        far.pull()
        stage.front.url = near_url
        began = time.monotonic()
        gone = {}
        while time.monotonic() < began + IDLE_TIMEOUT + 30 and (len(gone) < 2):
            if "connections" not in gone and leaks.clients(server) <= there:
                gone["connections"] = time.monotonic() - began
            if "presence" not in gone and not any(online.get(person.id) for person in people):
                gone["presence"] = time.monotonic() - began
            await asyncio.sleep(0.25)
        for what, seconds in gone.items():
            stage.account.note(f"{what} gone after", f"{seconds:.1f} s")
        assert gone.keys() == {"connections", "presence"}, (gone, leaks.clients(server), there)
        assert max(gone.values()) <= IDLE_TIMEOUT + LATE, gone
        await stage.leave([*sockets, *streams])
    await stage.audit_messages(group, near)
    await stage.verify()
