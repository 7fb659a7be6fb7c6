"""The people of most runs: a group that talks, and the author of a post, who is told of the comments on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.faults.chat import ChatClient
from tests.faults.people import Person
from tests.faults.stage import Stage
from tests.faults.stream import StreamClient
from tests.faults.writers import comment, talk


@dataclass
class Crowd:
    """`sockets`: those of the group's `people`; `streams`: all of the `author`, who is not among them."""

    stage: Stage
    people: list[Person]
    group: str
    author: Person
    post: str
    sockets: list[ChatClient]
    streams: list[StreamClient]

    @classmethod
    async def gather(cls, stage: Stage, clients: int, streams: int = 1) -> "Crowd":
        """All of them online; leaks are watched for from the moment before."""
        author, *people = await stage.people(clients + 1)
        group = await stage.group(people)
        post = await stage.post(author)
        await stage.watch_leaks()
        sockets = await stage.sockets(people)
        return cls(stage, people, group, author, post, sockets, await stage.streams([author] * streams))

    @asynccontextmanager
    async def talking(self, pause: float = 0.02, commenters: int = 2) -> AsyncIterator[None]:
        """All of them talk, and so many comment, for as long as the block runs: see `writers`."""
        async with talk(self.sockets, self.group, pause), self.commenting(pause, commenters):
            yield

    @asynccontextmanager
    async def commenting(self, pause: float, commenters: int = 2) -> AsyncIterator[None]:
        async with comment(self.stage.front, self.people[:commenters], self.post, pause):
            yield

    async def verify(self) -> None:
        """Everybody has everything, and nothing is left of them: see `Stage.verify`."""
        await self.stage.audit_messages(self.group, self.sockets)
        await self.stage.audit_notifications(self.author, [self.post], self.streams)
        await self.stage.verify()
