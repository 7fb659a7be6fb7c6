"""Redis goes (killed, stopped, silent, reset, its subscribers killed) and comes back: local delivery, then a reset."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.datastores.redis import connect
from tests.faults.chat import ChatClient
from tests.faults.outage import outage
from tests.faults.people import Person
from tests.faults.spread import on_each_worker, worker_of
from tests.faults.stage import Stage
from tests.faults.writers import talk
from tests.proxy import Proxy
from tests.running import Server

QUICK = [{"how": "killed", "clients": 8, "seconds": 1}]
LOCAL = 2.0
"""Seconds in which a message is at those who are on the sender's worker: Redis has nothing to do with it."""
REVOKED = 6.0
"""Seconds in which a session that has ended is at an end everywhere without Redis: each worker looks every two."""
RESET = {"killed": 6.0, "reset": 6.0, "subscribers": 6.0, "stopped": 20.0, "silent": 20.0}
"""Seconds after its return in which everybody is told. Of a silence it takes some to be sure."""
BRIEF = ("reset", "subscribers")
"""Over in a moment: what is said afterwards may go everywhere again."""
PRESENCE = 15.0


async def run(stage: Stage, *, how: str = "stopped", clients: int = 40, seconds: int = 10) -> None:
    """`seconds` of talk before, during and after."""
    proxy = await stage.enter(Proxy(stage.datastores.redis_url))
    server = await stage.serve(REDIS_URL=proxy.url, WEB_CONCURRENCY="2")
    people = await stage.people(clients)
    watcher, leaver, comer, before, during = await stage.people(5)
    group = await stage.group([*people, watcher])
    sockets = [*await stage.sockets(people), *await on_each_worker(stage, server, [watcher], stage.sockets)]
    watchers = sockets[len(people) :]
    for client in watchers:
        await client.watch([leaver, comer])
    (leaving,) = await stage.sockets([leaver])
    ended = await on_each_worker(stage, server, [during], stage.sockets)
    await stage.front.call("POST", "/auth/logout", before)
    await refused(stage, before)
    await until_presence(watchers, leaver, True)
    await stage.watch_leaks()
    async with talk(sockets, group, pause=0.1):
        await asyncio.sleep(seconds)
        resets = stage.account.resets["bus_interrupted"]
        async with broken(stage, how, proxy):
            began = time.monotonic()
            await stage.leave([leaving])
            await stage.sockets([comer])
            await refused(stage, before)
            await stage.front.call("POST", "/auth/logout", during)
            for client in ended:
                await client.changes.until(lambda client=client: client.barred, "its session has ended", REVOKED)
            await refused(stage, during)
            slowest = 0.0
            while time.monotonic() < began + seconds:
                slowest = max(slowest, await locally(server, sockets, group))
                await asyncio.sleep(0.2)
            stage.account.note("local dispatcher, at worst", f"{slowest * 1000:.0f} ms")
            if how in BRIEF:
                await all_told(stage, sockets, resets, began, how)
        back = time.monotonic()
        if how not in BRIEF:
            await all_told(stage, sockets, resets, back, how)
        await until_presence(watchers, leaver, False)
        await until_presence(watchers, comer, True)
        stage.account.note("presence is right after", f"{time.monotonic() - back:.1f} s")
        await refused(stage, before, during)
        await asyncio.sleep(seconds)
    await stage.audit_messages(group, sockets)
    await stage.verify()


@asynccontextmanager
async def broken(stage: Stage, how: str, proxy: Proxy) -> AsyncIterator[None]:
    if how != "subscribers":
        async with outage(stage, "redis", how, proxy):
            yield
        return
    redis = connect(stage.datastores.redis_url)
    try:
        assert await redis.client_kill_filter(_type="pubsub") == 2, "one of each worker"
    finally:
        await redis.aclose()
    yield


async def refused(stage: Stage, *people: Person) -> None:
    """Their tokens open nothing, whichever worker is asked."""
    for _ in range(4):
        for person in people:
            await stage.front.hang_up()  # the next connection may be another worker's
            answer = await stage.front.request("GET", "/users/me", person)
            assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])


async def locally(server: Server, sockets: Sequence[ChatClient], group: str) -> float:
    """Seconds until what one has said, and has been told is stored, is at another on the same worker."""
    online = [client for client in sockets if client.online]
    worker = worker_of(server, online[0])
    here = [client for client in online if worker_of(server, client) == worker]
    message = await here[0].say(group, "to those who are near")
    began = time.monotonic()
    for other in here[1:]:
        await other.changes.until(lambda other=other: other.rev(group) >= message["rev"], "it is here", LOCAL)
    return time.monotonic() - began


async def all_told(stage: Stage, sockets: Sequence[ChatClient], before: int, since: float, how: str) -> None:
    """Everybody is told that they may have missed something."""
    resets = stage.account.resets
    await sockets[0].changes.until(
        lambda: resets["bus_interrupted"] >= before + len(sockets), "everybody is told", RESET[how]
    )
    stage.account.note("everybody was told after", f"{time.monotonic() - since:.1f} s")


async def until_presence(watchers: Sequence[ChatClient], person: Person, online: bool) -> None:
    for client in watchers:
        await client.changes.until(
            lambda client=client: client.presence.get(person.id) is online, f"online: {online}", PRESENCE
        )
