"""The clock of one process is two hours off the others': order is unharmed, and so is the end of a session."""

import asyncio
from pathlib import Path

import jwt

from service.accounts.tokens import ALGORITHM
from tests.conftest import SECRET
from tests.faults.catalogue import Missing
from tests.faults.chat import ChatClient
from tests.faults.front import Front
from tests.faults.people import Person
from tests.faults.stage import Stage
from tests.faults.stream import StreamClient
from tests.faults.writers import comment, talk

QUICK = [{"clients": 3, "seconds": 1}, {"clients": 3, "seconds": 1, "ahead": -2}]
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


async def run(stage: Stage, *, clients: int = 20, seconds: int = 10, ahead: int = 2) -> None:
    """On each of two processes as many `clients`; on the second it is `ahead` hours later (below 0: earlier)."""
    fake = {"LD_PRELOAD": library(), "FAKETIME": f"{ahead:+}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    faked = await stage.serve(**fake)
    there = Front(stage.account, stage.random)
    there.url = faked.url
    await stage.serve()
    people = [signed_in_earlier(person, hours=abs(ahead)) for person in await stage.people(2 * clients + 1)]
    *talkers, leaver = people
    group = await stage.group(people)
    author = people[0]
    post = await stage.post(author)
    here = await stage.sockets(talkers[:clients])
    ahead_of = [ChatClient(person, there, stage.random) for person in (*talkers[clients:], leaver)]
    streams = [StreamClient(author, front, stage.random) for front in (stage.front, there)]
    await stage.start([*ahead_of, *streams])
    *late, leaving = ahead_of
    async with (
        talk([*here, *late], group),
        comment(stage.front, talkers[1:2], post),
        comment(there, talkers[2:3], post),
    ):
        await asyncio.sleep(seconds)
    await stage.audit_messages(group, [*here, *late], readers=talkers[:2])
    await stage.audit_notifications(author, [post], streams)
    messages = [message async for message in stage.front.pages(f"/conversations/{group}/messages", "before", author)]
    hours = {message["created_at"][:13] for message in messages}
    assert len(hours) >= 2, "the clock was not off"
    stage.account.note("hours in which messages were said", ", ".join(sorted(hours)))
    await stage.front.call("POST", "/auth/logout", leaver)
    await leaving.changes.until(lambda: leaving.barred == "token_revoked", "the other process heard of it")
    await stage.verify()
    await there.close()


def signed_in_earlier(person: Person, hours: int) -> Person:
    """With a token from before the clocks came apart: no forgery to the one that is behind."""
    claims = jwt.decode(person.token, SECRET, [ALGORITHM])
    return person._replace(token=jwt.encode(claims | {"iat": claims["iat"] - 3600 * hours}, SECRET, ALGORITHM))


def library() -> str:
    """libfaketime of Debian's `faketime`. Raises Missing."""
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    if not found:
        raise Missing("libfaketime (Debian's package faketime)")
    return str(found[0])
