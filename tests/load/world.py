"""The people and conversations of a load test, put straight into the database: registering thousands takes too long."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bson import ObjectId
from pymongo.errors import PyMongoError

from config.settings import Settings
from service.accounts.tokens import ACCESS, Tokens
from service.accounts.users import fold
from service.chat.conversation_store import CounterUpdate
from service.common.times import now
from service.datastores.data_directory import DataDirectory
from service.datastores.embedded import embedded
from service.datastores.mongo import Mongo
from service.stores import Stores
from tests.running import descendants

DAY = 24 * 3600
BATCH = 1000
"""Documents in one write: a second or so of the embedded database's time."""
AT_ONCE = 50
"""Writes under way."""


class Person(NamedTuple):
    id: ObjectId
    token: str


class World:
    """A database of this run's own, and what is in it. `pids`: the processes of the datastores that run for it."""

    def __init__(self, mongodb_uri: str, redis_url: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._name = f"load_{secrets.token_hex(6)}"
        self.mongodb_uri = urlsplit(mongodb_uri)._replace(path=f"/{self._name}").geturl()
        self.redis_url = redis_url
        self.secret = secrets.token_hex(32)
        self.run = run
        self.pids: list[int] = []
        self._mongo = Mongo(self.mongodb_uri)
        self.stores = Stores.build(self._mongo.database)
        self._tokens = Tokens(self.secret, access_ttl=DAY, refresh_ttl=DAY)
        self._people: list[Person] = []
        run(self.stores.create_indexes())

    def beside(self, what: str) -> str:
        """The URI of another database of this run's, dropped with it."""
        return urlsplit(self.mongodb_uri)._replace(path=f"/{self._name}_{what}").geturl()

    def people(self, count: int) -> list[Person]:
        """The first `count`, each signed in; always the same ones."""
        if count > len(self._people):
            self.run(self._add_people(count - len(self._people)))
        return self._people[:count]

    def group(self, people: Sequence[Person]) -> str:
        """The id of a conversation of all of them."""
        members = [person.id for person in people]
        made = self.run(self.stores.conversations.create_group(members[0], members[1:], "Load"))
        return str(made["_id"])

    def conversations(self, person: Person, other: Person, count: int) -> None:
        """As many conversations of the two."""

        async def add() -> None:
            create = self.stores.conversations.create_group
            for first in range(0, count, AT_ONCE):
                numbers = range(first, min(first + AT_ONCE, count))
                await asyncio.gather(*[create(person.id, [other.id], f"No. {number}") for number in numbers])

        self.run(add())

    def history(self, sender: Person, other: Person, count: int, tick: Callable[[], None]) -> str:
        """The id of a conversation of the two in which so much has been said."""
        conversation = ObjectId(self.group([sender, other]))

        async def add() -> None:
            for first in range(1, count + 1, BATCH):
                seqs = range(first, min(first + BATCH, count + 1))
                documents = [_message(conversation, sender.id, seq) for seq in seqs]
                await self.stores.messages.collection.insert_many(documents)
                tick()
            last = CounterUpdate(rev=count, seq=count, message_id=documents[-1]["_id"], at=now())
            await self.stores.conversations.apply_counters({conversation: last})

        self.run(add())
        return str(conversation)

    def post(self, author: Person) -> str:
        """The id of a post."""
        made = self.run(self.stores.posts.insert(str(author.id), "What do you say?", now()))
        return str(made["_id"])

    def drop(self) -> None:
        """Remove the databases."""

        async def drop() -> None:
            client = self._mongo.database.client
            for name in await client.list_database_names():
                if name.startswith(self._name):
                    await client.drop_database(name)

        try:
            self.run(drop())
        except PyMongoError as error:
            # The numbers are good all the same.
            print(f"load: {self._name} is left behind: {error}", file=sys.stderr)

    def close(self) -> None:
        self._mongo.close()

    async def _add_people(self, count: int) -> None:
        moment = now()
        new = [ObjectId() for _ in range(count)]
        for first in range(0, count, BATCH):
            users, sessions = [], []
            for index, user_id in enumerate(new[first : first + BATCH], len(self._people)):
                name = f"person_{index}"
                users.append(
                    {
                        "_id": user_id,
                        "username": name,
                        "display_name": name,
                        "display_folded": fold(name),
                        "avatar": None,
                        "password_hash": "",
                        "password_version": 0,
                        "created_at": moment,
                    }
                )
                session_id = ObjectId()
                sessions.append(
                    {
                        "_id": session_id,
                        "user_id": user_id,
                        "refresh": "",
                        "created_at": moment,
                        "last_used_at": moment,
                        "expires_at": moment + timedelta(days=1),
                        "user_agent": "load",
                    }
                )
                token = self._tokens.issue(ACCESS, str(user_id), str(session_id)).text
                self._people.append(Person(user_id, token))
            await self._mongo.database["users"].insert_many(users)
            await self._mongo.database["sessions"].insert_many(sessions)


def _message(conversation: ObjectId, sender: ObjectId, seq: int) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "conversation_id": conversation,
        "sender_id": sender,
        "content": f"Message {seq} " + "x" * 180,
        "reply_to": None,
        "created_at": now(),
        "edited_at": None,
        "deleted": False,
        "reactions": {},
        "seq": seq,
        "rev": seq,
        "claims": [seq],
    }


@contextmanager
def world(directory: Path, mongodb_uri: str | None, redis_url: str | None) -> Iterator[World]:
    """A World on these datastores, or on embedded ones, for each that is not named, with their files in `directory`."""
    settings = Settings(mongodb_uri=mongodb_uri, redis_url=redis_url, jwt_secret=secrets.token_hex(32))
    with DataDirectory(directory) as held, asyncio.Runner() as runner:

        async def start() -> tuple[AsyncExitStack, Settings, list[int]]:
            stack = AsyncExitStack()
            before = {child.pid for child in descendants(os.getpid())}
            found, _ = await stack.enter_async_context(embedded(settings, held, print))
            return stack, found, [child.pid for child in descendants(os.getpid()) if child.pid not in before]

        stack, found, pids = runner.run(start())
        try:
            assert found.mongodb_uri
            assert found.redis_url
            made = World(found.mongodb_uri, found.redis_url, runner.run)
            made.pids = pids
            try:
                yield made
            finally:
                if mongodb_uri:  # of an embedded server, all goes with its files
                    made.drop()
                made.close()
        finally:
            runner.run(stack.aclose())
