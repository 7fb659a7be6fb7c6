"""Removed from a group, session ended, password changed while events are queued: nothing is delivered any more."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from functools import partial

from tests.faults.chat import ChatClient
from tests.faults.client import Client
from tests.faults.people import Person
from tests.faults.spread import on_each_worker
from tests.faults.stage import Stage
from tests.faults.stream import StreamClient
from tests.faults.writers import one_comment
from tests.protocol.processes import unsent
from tests.running import Server

QUICK = [{"ways": "session", "after": 5}]
NARROW = 4096
BATCH = 10
QUEUED = 20
"""Messages of 16 KB that wait in the server for the one who is put out, beside those that the kernel has taken: a third
of what a queue holds."""
LONG = "\N{PARTY POPPER}" * 3900
HEARD = {"up": 1.0, "down": 4.0}
"""Seconds in which it has to hold on every worker: by the bus, or without it by the look at the database every two."""
PASSWORD = "correct horse battery"


async def run(stage: Stage, *, ways: str = "removed,session,password", workers: int = 2, after: int = 20) -> None:
    """`after`: messages that are said on every worker once it holds."""
    server = await stage.serve(WEB_CONCURRENCY=str(workers))
    await stage.watch_leaks()
    talking: list[tuple[str, list[ChatClient]]] = []
    for redis in ("up", "down"):
        if redis == "down":
            os.kill(stage.datastores.pid("redis"), signal.SIGKILL)
        for how in ways.split(","):
            talking.append(await put_out(stage, server, how, redis, after))
    await stage.datastores.redis.start()
    for group, talkers in talking:
        await stage.audit_messages(group, talkers)
    await stage.verify()


async def put_out(stage: Stage, server: Server, how: str, redis: str, after: int) -> tuple[str, list[ChatClient]]:
    """One whole case, from a new victim on; the group of it, and those who are still in it."""
    victim, password = await registered(stage)
    owner, *others = await stage.people(4)
    group = await stage.group([owner, victim, *others])
    post = await stage.post(victim)
    talkers = await on_each_worker(stage, server, [owner, *others], stage.sockets)
    narrow = partial(stage.sockets, receive_buffer=NARROW)
    theirs: Sequence[ChatClient] = await on_each_worker(stage, server, [victim], narrow)
    streams: Sequence[StreamClient] = await on_each_worker(stage, server, [victim], stage.streams)
    for client in theirs:
        client.stop_reading()
    queued = await fill(stage, talkers, theirs, group)
    if how == "removed":
        await stage.front.call("DELETE", f"/conversations/{group}/participants/{victim.id}", owner)
    elif how == "session":
        await stage.front.call("POST", "/auth/logout", victim)
    else:
        await change_password(stage, victim, password)
    answered = time.monotonic()
    said: dict[str, float] = {}
    comments: dict[str, float] = {}
    number = 0
    while number < after or time.monotonic() < answered + HEARD[redis]:
        number += 1
        for talker in talkers:
            content = f"after {number} {talker.person.username}"
            said[content] = time.monotonic()
            await talker.say(group, content)
        if how != "removed":
            comments[f"{others[0].username} comments {number}"] = time.monotonic()
            await one_comment(stage.front, others[0], post, number)
        await asyncio.sleep(0.02)
    for client in theirs:
        client.read_again()
    if how == "removed":
        for client in theirs:
            if redis == "up":
                await client.changes.until(lambda client=client: group in client.removed, "it is told")
    else:
        for one in (*theirs, *streams):
            await one.changes.until(lambda one=one: one.barred, f"it is closed after {how}")
    heard = [
        said[beginning] - answered
        for client in theirs
        for beginning in client.held[group].messages.values()
        if beginning in said
    ]
    told = [
        comments[notification["data"]["preview"]] - answered
        for stream in streams
        for notification in stream.notifications.values()
        if notification["data"]["preview"] in comments
    ]
    note(stage, f"{how}, Redis {redis}: delivered afterwards", heard + told, HEARD[redis])
    if how != "removed" or redis == "up":
        held = [set(client.held[group].messages) for client in theirs]
        assert not any(queued <= each for each in held), f"what waited was delivered after {how}"
    gone: list[Client] = [*theirs, *streams]
    await stage.leave(gone)
    return group, talkers


async def fill(stage: Stage, talkers: Sequence[ChatClient], readers: Sequence[ChatClient], group: str) -> set[str]:
    """Say so much that the kernel takes no more for `readers`, and then what has to wait in the server: its ids."""

    async def say(count: int) -> set[str]:
        saying = [talkers[number % len(talkers)].say(group, LONG) for number in range(count)]
        messages = await asyncio.gather(*saying)
        last = max(message["rev"] for message in messages)
        for talker in talkers:
            # Without Redis a worker learns of what was said on another from the numbers of its own messages.
            await talker.say(group, "by the way")
        for talker in talkers:
            await talker.changes.until(lambda talker=talker: talker.rev(group) >= last, "its worker knows of it")
        return {message["id"] for message in messages}

    port = stage.front.address[1]
    taken = -1
    while (now := min(unsent(port, reader.port) for reader in readers)) > taken:
        taken = now
        await say(BATCH)
    return await say(QUEUED)


def note(stage: Stage, what: str, late: list[float], limit: float) -> None:
    last = f", the last said {max(late):.2f} s after the answer" if late else ""
    stage.account.note(what, f"{len(late)}{last}")
    if late and max(late) > limit:
        stage.account.wrong.append(f"{what}: {max(late):.2f} s after the answer")


async def registered(stage: Stage) -> tuple[Person, str]:
    """Someone who has a password."""
    name = f"v{stage.random.getrandbits(60):015x}"
    answer = await stage.front.call("POST", "/auth/register", json={"username": name, "password": PASSWORD})
    return Person(answer["user"]["id"], name, answer["access_token"], ""), PASSWORD


async def change_password(stage: Stage, victim: Person, password: str) -> None:
    """On another device: that one stays signed in, the first does not."""
    answer = await stage.front.call("POST", "/auth/login", json={"username": victim.username, "password": password})
    device = victim._replace(token=answer["access_token"])
    body = {"current_password": password, "new_password": password + "!"}
    await stage.front.call("POST", "/auth/password", device, json=body)
