"""A process is killed between comment, notification and push: each comment notifies and is pushed once, as received."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from service.datastores.mongo import Document, Mongo
from tests.faults.catalogue.crash_points import running_again
from tests.faults.delivery_checks import SETTLE_TIMEOUT
from tests.faults.environment import FaultEnvironment
from tests.faults.kill_point import COMMENT_POINTS, PUSH_POINTS, KillPoint
from tests.faults.users import User
from tests.push.push_service import Push as Request
from tests.push.push_service import PushServiceDouble, serving_pushes

QUICK = [{"points": 3, "servers": 0}]
POINTS = (*COMMENT_POINTS, *PUSH_POINTS)
KILL_TIMEOUT = 30.0
"""Seconds until a point is reached: after a kill, another worker pushes once the lease has expired."""
PUSH_TIMEOUT = 90.0
"""Seconds until everything has been pushed: much may wait at the end of the last kill."""
PAUSE = 0.2
"""Seconds from a comment to the same user's next one."""


class Push(NamedTuple):
    """What tells a push from all others: whose browser received it, and the notification's type and post."""

    browser: str
    tag: str


class Kill(NamedTuple):
    """`left`: what was stored as not pushed between `since` and `until`: after the kill, and before a successor pushes.
    What the killed process has sent may be received meanwhile."""

    since: float
    until: float
    left: frozenset[Push]


async def run(
    env: FaultEnvironment, *, commenters: int = 3, points: int = len(POINTS), servers: int = 3, workers: int = 2
) -> None:
    """Kill a worker at `points` of the points, and the whole server at `servers` of them, while `commenters` write."""
    async with serving_pushes(env.directory) as service:
        kill_point = KillPoint(env.directory)
        environment = {"WEB_CONCURRENCY": str(workers), **kill_point.environment, **_pushing(service, env.directory)}
        server = await env.start_server(**environment)
        author, mentioned, *writers = await env.create_users(commenters + 2)
        readers = {"author": author, "mentioned": mentioned}
        for name, user in readers.items():
            await env.api.call("POST", "/push/subscriptions", user, json=service.subscribe(name))
        traffic = Traffic(env, author, mentioned, writers)
        await traffic.comment(writers[0])
        await service.wait(len(readers))
        await env.record_baseline()
        deaths = [(point, "worker") for point in env.random.sample(POINTS, points)]
        deaths += [(point, "server") for point in env.random.sample(POINTS, servers)]
        kills: list[Kill] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.run())
            try:
                for point, victim in env.random.sample(deaths, len(deaths)):
                    before = server.workers
                    kill_point.arm(point, victim, skip=env.random.randrange(4))
                    await asyncio.to_thread(kill_point.wait_until_hit, KILL_TIMEOUT)
                    since = time.monotonic()
                    left = await _not_pushed(env, readers)
                    kills.append(Kill(since, time.monotonic(), left))
                    server = await running_again(env, server, victim, before, environment)
                    env.ledger.note(f"{victim} killed", point)
            finally:
                traffic.stop()
        for user in readers.values():
            await _check_notifications(env, user, traffic.comments)
        await _check_pushes(env, service, traffic.comments, kills)
        await env.verify()


class Traffic:
    """The author writes a post, and somebody comments on it, mentioning somebody else: two notifications, which no
    later one of another post replaces. `comments`: the id of each comment, by its post."""

    def __init__(self, env: FaultEnvironment, author: User, mentioned: User, writers: Sequence[User]) -> None:
        self._env, self._author, self._mentioned, self._writers = env, author, mentioned, writers
        self._stopped = asyncio.Event()
        self.comments: dict[str, str] = {}

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        await asyncio.gather(*map(self._write, self._writers))

    async def _write(self, writer: User) -> None:
        while not self._stopped.is_set():
            await self.comment(writer)
            await asyncio.sleep(PAUSE)

    async def comment(self, writer: User) -> None:
        post = await self._env.create_post(self._author)
        body = {"content": f"@{self._mentioned.username} Look", "nonce": post}
        comment = await self._env.api.call("POST", f"/posts/{post}/comments", writer, json=body)
        self.comments[post] = comment["id"]


def _pushing(service: PushServiceDouble, directory: Path) -> dict[str, str]:
    return {
        "PUSH_HOSTS": service.host,
        "PUSH_PRIVATE": "on",
        "PUSH_DELAY": "1",
        "SSL_CERT_FILE": str(directory / "localhost.pem"),
    }


async def _not_pushed(env: FaultEnvironment, readers: dict[str, User]) -> frozenset[Push]:
    """Return the deliveries that are stored."""
    names = {user.id: name for name, user in readers.items()}
    stored = await _stored(env, "push_deliveries")
    return frozenset(Push(names[str(each["user_id"])], each["group"]) for each in stored)


async def _stored(env: FaultEnvironment, *collections: str) -> list[Document]:
    mongo = Mongo(env.datastores.mongodb_uri)
    try:
        return [each for name in collections for each in await mongo.database[name].find({}).to_list(None)]
    finally:
        mongo.close()


async def _check_notifications(env: FaultEnvironment, user: User, comments: dict[str, str]) -> None:
    """Assert that the user is notified of each comment once. What a crash left, recovery dispatches later."""
    deadline = time.monotonic() + SETTLE_TIMEOUT
    while True:
        items = [item async for item in env.api.paginate("/notifications", "before", user, limit=100)]
        found = Counter(item["data"]["comment_id"] for item in items)
        if found == Counter(comments.values()) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    lost, doubled = Counter(comments.values()) - found, found - Counter(comments.values())
    assert not lost, f"lost {list(lost)[:3]}"
    assert not doubled, f"doubled {list(doubled)[:3]}"
    assert [item["seq"] for item in items] == list(range(len(items), 0, -1)), "the sequence numbers have gaps"


async def _check_pushes(
    env: FaultEnvironment, service: PushServiceDouble, comments: dict[str, str], kills: Sequence[Kill]
) -> None:
    """Assert that each notification was received as a push, and again only if a kill left its delivery stored."""
    urls = {
        Push(browser, f"{type}:{post}"): f"/#/posts/{post}#comment-{comment}"
        for browser, type in (("author", "NEW_COMMENT"), ("mentioned", "NEW_MENTION"))
        for post, comment in comments.items()
    }
    deadline = time.monotonic() + PUSH_TIMEOUT
    while await _stored(env, "push_news", "push_deliveries") or len(_arrivals(service)) < len(urls):
        assert time.monotonic() < deadline, f"lost {list(urls.keys() - _arrivals(service).keys())[:3]}"
        await asyncio.sleep(0.2)
    received = _arrivals(service)
    assert urls == {_push_of(each): each.payload["url"] for each in service.pushes}
    again = 0
    for push, times in received.items():
        for first, second in pairwise(times):
            again += 1
            if not any(push in kill.left for kill in kills if first <= kill.until and kill.since < second):
                env.ledger.violations.append(f"{push} came again after {second - first:.1f} s, though it was settled")
    env.ledger.note("pushes", f"{len(urls)} expected, {len(received)} received, {again} of them once more after a kill")


def _arrivals(service: PushServiceDouble) -> dict[Push, list[float]]:
    """Return when each push arrived."""
    found: dict[Push, list[float]] = {}
    for each in service.pushes:
        found.setdefault(_push_of(each), []).append(each.at)
    return found


def _push_of(request: Request) -> Push:
    return Push(request.path.removeprefix("/push/"), request.payload["tag"])
