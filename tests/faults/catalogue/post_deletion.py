"""A worker is killed at each step of a post's deletion: nothing of it is left behind, and nothing else is lost."""

import asyncio
import time
from collections.abc import Mapping

from service.datastores.mongo import Mongo
from tests.faults.catalogue.crash_points import running_again
from tests.faults.environment import FaultEnvironment
from tests.faults.kill_point import DELETION_POINTS, REPEATED_DELETION_POINTS, KillPoint
from tests.faults.users import User

QUICK = [{"points": 2, "servers": 0}]
GRACE = 4.0
"""Seconds until the second pass of a deletion; longer than a request takes."""
DELETION_TIMEOUT = 60.0
FILE = b"What do you say?"
COLLECTIONS = ("posts", "comments", "reactions", "attachments", "attachments.files", "attachments.chunks")


async def run(env: FaultEnvironment, *, writers: int = 3, points: int = len(DELETION_POINTS), servers: int = 2) -> None:
    """Kill a worker at `points` of the points, and the whole server at `servers` of them, each time while a post is
    deleted on which `writers` still write."""
    kill_point = KillPoint(env.directory)
    environment = {"WEB_CONCURRENCY": "2", "FAULTS_DELETION_GRACE": str(GRACE), **kill_point.environment}
    server = await env.start_server(**environment)
    users = await env.create_users(writers + 1)
    mongo = Mongo(env.datastores.mongodb_uri)
    try:
        kept = await Discussion.begin(env, users)
        await wait_for_counts(mongo, {"notifications": kept.notifications})
        await env.record_baseline()
        expected = await counts(mongo)
        before = await kept.shown()
        deaths = [(point, "worker") for point in env.random.sample(DELETION_POINTS, points)]
        deaths += [(point, "server") for point in env.random.sample(DELETION_POINTS, servers)]
        for point, victim in env.random.sample(deaths, len(deaths)):
            discussion = await Discussion.begin(env, users)
            workers = server.workers
            kill_point.arm(point, victim, skip=env.random.randrange(2) if point in REPEATED_DELETION_POINTS else 0)
            async with asyncio.TaskGroup() as group:
                group.create_task(discussion.delete())
                for writer in users[1:]:
                    group.create_task(discussion.write(writer))
                await asyncio.to_thread(kill_point.wait_until_hit, DELETION_TIMEOUT)
                server = await running_again(env, server, victim, workers, environment)
            await wait_for_counts(mongo, expected)
            env.ledger.note(f"{victim} killed", point)
        assert before == await kept.shown()
    finally:
        mongo.close()
    await env.verify(leases_taken_over=True)


class Discussion:
    """A post with a file, of the first user, and of each other user a comment with a file, a reply that mentions the
    author, and reactions."""

    def __init__(self, env: FaultEnvironment, users: list[User], post: str, files: list[str]) -> None:
        self._env, self._author, self._writers, self._post = env, users[0], users[1:], post
        self._files = files
        self.notifications = 4 * len(self._writers)
        """The comments and the replies, in which the author is mentioned as well; the reactions to post and comment."""

    @classmethod
    async def begin(cls, env: FaultEnvironment, users: list[User]) -> "Discussion":
        author, *writers = users
        files = [await cls._upload(env, user) for user in users]
        body = {"content": "Look", "attachments": files[:1]}
        discussion = cls(env, users, (await env.api.call("POST", "/posts", author, json=body))["id"], files)
        for writer, file in zip(writers, files[1:], strict=True):
            comment = await discussion._comment(writer, content="Aye", attachments=[file])
            await discussion._comment(writer, content=f"Nay, @{author.username}", parent_id=comment)
            await discussion._react(writer)
            await discussion._react(author, f"/comments/{comment}")
        return discussion

    @staticmethod
    async def _upload(env: FaultEnvironment, user: User) -> str:
        return str((await env.api.call("POST", "/attachments?name=a.txt", user, content=FILE))["id"])

    async def _comment(self, writer: User, **body: object) -> str:
        return str((await self._env.api.call("POST", f"/posts/{self._post}/comments", writer, json=body))["id"])

    async def _react(self, user: User, place: str = "") -> None:
        await self._env.api.call("PUT", f"/posts/{self._post}{place}/reactions/👍", user)

    async def write(self, writer: User) -> None:
        """Comment and react until the post is gone."""
        api, number, status = self._env.api, 0, 201
        while status != 404:
            number += 1
            body = {"content": "And", "nonce": f"{writer.username}-{number}"}
            status = (await api.request("POST", f"/posts/{self._post}/comments", writer, json=body)).status_code
            await api.request("PUT", f"/posts/{self._post}/reactions/🎉", writer)

    async def delete(self) -> None:
        """Delete the post. 404: an attempt has done it of which the response was lost."""
        response = await self._env.api.request("DELETE", f"/posts/{self._post}", self._author)
        assert response.status_code in (204, 404), response.text

    async def shown(self) -> list[object]:
        """Return what its author sees of it."""
        api = self._env.api
        post = await api.call("GET", f"/posts/{self._post}", self._author)
        comments = [each async for each in api.paginate(f"/posts/{self._post}/comments", "after", self._author)]
        for each in (post, *comments):
            for file in each["attachments"]:
                assert FILE == (await api.request("GET", f"/attachments/{file['id']}", self._author)).content
                # They are signed for an hour.
                del file["url"]
        notifications = [
            each
            for user in (self._author, *self._writers)
            async for each in api.paginate("/notifications", "before", user)
            if each["data"]["post_id"] == self._post
        ]
        return [post, comments, notifications]


async def counts(mongo: Mongo) -> dict[str, int]:
    """Return how many documents there are; of the notifications, those that are not deleted."""
    database = mongo.database
    found = {name: await database[name].count_documents({}) for name in COLLECTIONS}
    return found | {"notifications": await database["notifications"].count_documents({"deleted": None})}


async def wait_for_counts(mongo: Mongo, expected: Mapping[str, int]) -> None:
    deadline = time.monotonic() + DELETION_TIMEOUT
    while expected.items() - (found := await counts(mongo)).items():
        assert time.monotonic() < deadline, f"{found} instead of {expected}"
        # Nothing tells when a deletion is complete.
        await asyncio.sleep(0.2)
