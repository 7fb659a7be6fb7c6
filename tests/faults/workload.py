"""The usual workload: a group of users who write messages, and an author who is notified of comments on a post."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.faults.chat_client import ChatClient
from tests.faults.environment import FaultEnvironment
from tests.faults.stream_client import StreamClient
from tests.faults.traffic import comment_traffic, message_traffic
from tests.faults.users import User


@dataclass
class Workload:
    """`sockets` are the clients of the group's `members`; `streams` are all of the `author`, who is not a member."""

    env: FaultEnvironment
    members: list[User]
    group: str
    author: User
    post: str
    sockets: list[ChatClient]
    streams: list[StreamClient]

    @classmethod
    async def start(cls, env: FaultEnvironment, clients: int, streams: int = 1) -> "Workload":
        """Create the users, record the leak baseline, and connect everybody."""
        author, *members = await env.create_users(clients + 1)
        group = await env.create_group(members)
        post = await env.create_post(author)
        await env.record_baseline()
        sockets = await env.connect_sockets(members)
        return cls(env, members, group, author, post, sockets, await env.connect_streams([author] * streams))

    @asynccontextmanager
    async def traffic(self, pause: float = 0.02, commenters: int = 2) -> AsyncIterator[None]:
        """Let all members send messages, and `commenters` of them write comments, for as long as the block runs."""
        async with message_traffic(self.sockets, self.group, pause), self.comment_traffic(pause, commenters):
            yield

    @asynccontextmanager
    async def comment_traffic(self, pause: float, commenters: int = 2) -> AsyncIterator[None]:
        async with comment_traffic(self.env.api, self.members[:commenters], self.post, pause):
            yield

    async def verify(self) -> None:
        """Check that everybody has everything and that nothing is left behind; see `FaultEnvironment.verify`."""
        await self.env.check_messages(self.group, self.sockets)
        await self.env.check_notifications(self.author, [self.post], self.streams)
        await self.env.verify()
