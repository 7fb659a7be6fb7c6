"""A worker is killed between comment, reaction and notification: replies, mentions and reactions arrive once each."""

import asyncio
import time
from collections import Counter

from tests.faults.catalogue.crash_points import wait_until_replaced
from tests.faults.delivery_checks import SETTLE_TIMEOUT
from tests.faults.environment import FaultEnvironment
from tests.faults.kill_point import COMMENT_POINTS, REACTION_POINTS, KillPoint
from tests.faults.ledger import Json
from tests.faults.users import User

QUICK = [{"users": 3, "rounds": 1}]


async def run(env: FaultEnvironment, *, users: int = 8, rounds: int = 3, workers: int = 2) -> None:
    """Kill a worker `rounds` times at each of the points, while `users` mention somebody and react to each other."""
    kill_point = KillPoint(env.directory)
    server = await env.start_server(WEB_CONCURRENCY=str(workers), **kill_point.environment)
    author, mentioned, *writers = await env.create_users(users + 2)
    post = await env.create_post(author)
    await env.record_baseline()
    traffic = Traffic(env, post, mentioned, writers)
    points = [point for point in (*COMMENT_POINTS, *REACTION_POINTS) for _ in range(rounds)]
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.run())
        try:
            for point in env.random.sample(points, len(points)):
                before = server.workers
                kill_point.arm(point, "worker", skip=env.random.randrange(4))
                await asyncio.to_thread(kill_point.wait_until_hit)
                await asyncio.to_thread(wait_until_replaced, server, before)
                env.ledger.note("worker killed", point)
        finally:
            traffic.stop()
    await traffic.check(author)
    await env.verify()


class Traffic:
    """Each writer comments, mentioning one user; the next one reacts to the comment and, over and over, to the post."""

    def __init__(self, env: FaultEnvironment, post: str, mentioned: User, writers: list[User]) -> None:
        self._env, self._post, self._mentioned, self._writers = env, post, mentioned, writers
        self._comments: dict[str, User] = {}
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        others = [*self._writers[1:], self._writers[0]]
        await asyncio.gather(*map(self._write, self._writers, others))

    async def _write(self, writer: User, other: User) -> None:
        api, number = self._env.api, 0
        while not self._stopped.is_set():
            number += 1
            body = {"content": f"@{self._mentioned.username} {number}", "nonce": f"{writer.username}-{number}"}
            comment = (await api.call("POST", f"/posts/{self._post}/comments", writer, json=body))["id"]
            self._comments[comment] = writer
            await api.call("PUT", f"/posts/{self._post}/comments/{comment}/reactions/👍", other)
            for method in ("PUT", "DELETE", "PUT"):
                await api.call(method, f"/posts/{self._post}/reactions/🎉", other)

    async def check(self, author: User) -> None:
        """Assert that everybody has one notification of everything, and that the reactions are counted exactly."""
        reacted = {comment: writer.id for comment, writer in self._comments.items()}
        await self._check(self._mentioned, Counter(("NEW_MENTION", comment) for comment in reacted))
        everything = Counter(("NEW_COMMENT", comment) for comment in reacted)
        everything[("NEW_REACTION", None)] = len(self._writers)
        await self._check(author, everything)
        for writer in self._writers:
            own = Counter(("NEW_REACTION", comment) for comment, user_id in reacted.items() if user_id == writer.id)
            await self._check(writer, own)
        shown = await self._env.api.call("GET", f"/posts/{self._post}", author)
        assert {"🎉": len(self._writers)} == shown["reactions"]
        comments = [item async for item in self._env.api.paginate(f"/posts/{self._post}/comments", "after", author)]
        assert len(reacted) == shown["comment_count"] == len(comments)
        assert [] == [comment["id"] for comment in comments if comment["reactions"] != {"👍": 1}]
        self._env.ledger.note("comments", len(reacted))

    async def _check(self, user: User, expected: Counter[tuple[str, str | None]]) -> None:
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while True:
            items: list[Json] = [item async for item in self._env.api.paginate("/notifications", "before", user)]
            found = Counter((item["type"], item["data"]["comment_id"]) for item in items)
            if found == expected or time.monotonic() > deadline:
                break
            # What a crash left is dispatched by the next recovery, of which nothing tells.
            await asyncio.sleep(0.5)
        assert found == expected, f"lost {list(expected - found)[:3]}, doubled {list(found - expected)[:3]}"
        assert [item["seq"] for item in items] == list(range(len(items), 0, -1)), "the sequence numbers have gaps"
