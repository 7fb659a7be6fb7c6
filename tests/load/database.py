"""The users and conversations of a load test, written directly to the database: registration would take too long."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bson import ObjectId
from pymongo.errors import PyMongoError

from config.settings import Settings
from service.accounts.search_terms import user_terms
from service.accounts.tokens import ACCESS, Tokens
from service.chat.counter_update import CounterUpdate
from service.common.times import now
from service.datastores.data_directory import DataDirectory
from service.datastores.embedded import embedded
from service.datastores.mongo import Database, Mongo
from service.stores import Stores
from tests.running import descendants

DAY = 24 * 3600
BATCH = 1000
"""Documents in one write: about a second of the embedded database's time."""
CONCURRENT_WRITES = 50
"""Concurrent writes."""


class User(NamedTuple):
    id: ObjectId
    token: str


class LoadDatabase:
    """A database of this run, and its content. `pids` are the processes of the embedded datastores."""

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
        self._users: list[User] = []
        run(self.stores.create_indexes())
        # What a workload stores by itself is not indexed in the background.
        run(self.stores.search_index.set_complete(0))

    def sibling_uri(self, suffix: str) -> str:
        """The URI of another database of this run, which is dropped with it."""
        return urlsplit(self.mongodb_uri)._replace(path=f"/{self._name}_{suffix}").geturl()

    def forget_followers(self) -> None:
        """Forget where followers of changes have stopped, and the webhooks that wait: the next one begins anew."""

        async def forget() -> None:
            for name in ("change_followers", "webhook_deliveries"):
                await self._mongo.database[name].delete_many({})

        self.run(forget())

    def users(self, count: int) -> list[User]:
        """Return the first `count` users, each signed in; always the same ones."""
        if count > len(self._users):
            self.run(self._add_users(count - len(self._users)))
        return self._users[:count]

    def new_users(self, count: int) -> list[User]:
        """Return `count` users whom no other workload has had, each signed in."""
        self.run(self._add_users(count))
        return self._users[-count:]

    def documents_of(self, users: Sequence[User]) -> list[dict[str, Any]]:
        """Return these users as they are stored."""

        async def read() -> list[dict[str, Any]]:
            key = {"_id": {"$in": [user.id for user in users]}}
            found: list[dict[str, Any]] = await self._mongo.database["users"].find(key).to_list(None)
            return found

        documents: list[dict[str, Any]] = self.run(read())
        return documents

    def insert(self, documents: Mapping[str, Sequence[Mapping[str, Any]]], suffix: str = "") -> None:
        """Insert `documents`, by collection, into Loa's database; with a `suffix` into that one, with Loa's indexes."""

        async def insert(database: Database) -> None:
            if suffix:
                await Stores.build(database).create_indexes()
            for name, rows in documents.items():
                for first in range(0, len(rows), BATCH):
                    await database[name].insert_many(rows[first : first + BATCH])

        name = f"{self._name}_{suffix}" if suffix else self._name
        database = self._mongo.database.client.get_database(name, write_concern=self._mongo.database.write_concern)
        self.run(insert(database))

    def create_group(self, users: Sequence[User]) -> str:
        """Create a conversation of all `users`. Returns its id."""
        members = [user.id for user in users]
        return str(self.run(self._create_group(members[0], members[1:], "Load")))

    async def _create_group(self, owner: ObjectId, others: Sequence[ObjectId], title: str) -> ObjectId:
        """Create a group that no server announces later, in the middle of a measurement."""
        store = self.stores.conversations
        document = await store.create_group(owner, others, title)
        await store.clear_unannounced({document["_id"]: document["version"]})
        conversation_id: ObjectId = document["_id"]
        return conversation_id

    def create_conversations(self, user: User, other: User, count: int) -> None:
        """Create `count` conversations of the two users."""

        async def add() -> None:
            create = self._create_group
            for first in range(0, count, CONCURRENT_WRITES):
                numbers = range(first, min(first + CONCURRENT_WRITES, count))
                await asyncio.gather(*[create(user.id, [other.id], f"No. {number}") for number in numbers])

        self.run(add())

    def create_history(self, sender: User, other: User, count: int, tick: Callable[[], None]) -> str:
        """Create a conversation of the two users with `count` messages. Returns its id."""
        conversation = ObjectId(self.create_group([sender, other]))

        async def add() -> None:
            for first in range(1, count + 1, BATCH):
                seqs = range(first, min(first + BATCH, count + 1))
                documents = [stored_message(conversation, sender.id, seq, text_of(seq), now()) for seq in seqs]
                await self.stores.messages.collection.insert_many(documents)
                tick()
            last = CounterUpdate(rev=count, seq=count, message_id=documents[-1]["_id"], at=now())
            await self.stores.conversations.apply_counters({conversation: last})

        self.run(add())
        return str(conversation)

    def create_post(self, author: User) -> str:
        """Create a post. Returns its id."""
        document = self.run(self.stores.posts.insert(str(author.id), "What do you say?", now()))
        return str(document["_id"])

    def drop(self) -> None:
        """Drop the databases."""

        async def drop() -> None:
            client = self._mongo.database.client
            for name in await client.list_database_names():
                if name.startswith(self._name):
                    await client.drop_database(name)

        try:
            self.run(drop())
        except PyMongoError as error:
            # The results are valid all the same.
            print(f"load: {self._name} is left behind: {error}", file=sys.stderr)

    def close(self) -> None:
        self._mongo.close()

    async def _add_users(self, count: int) -> None:
        created_at = now()
        new = [ObjectId() for _ in range(count)]
        for first in range(0, count, BATCH):
            user_documents, session_documents = [], []
            for index, user_id in enumerate(new[first : first + BATCH], len(self._users)):
                name = f"person_{index}"
                user_documents.append(
                    {
                        "_id": user_id,
                        "username": name,
                        "display_name": name,
                        "search_terms": user_terms(name, name),
                        "avatar": None,
                        "password_hash": "",
                        "password_version": 0,
                        "created_at": created_at,
                    }
                )
                session_id = ObjectId()
                session_documents.append(
                    {
                        "_id": session_id,
                        "user_id": user_id,
                        "refresh": "",
                        "created_at": created_at,
                        "last_used_at": created_at,
                        "expires_at": created_at + timedelta(days=1),
                        "user_agent": "load",
                    }
                )
                token = self._tokens.issue(ACCESS, str(user_id), str(session_id)).text
                self._users.append(User(user_id, token))
            await self._mongo.database["users"].insert_many(user_documents)
            await self._mongo.database["sessions"].insert_many(session_documents)


def text_of(seq: int) -> str:
    return f"Message {seq} " + "x" * 180


def stored_message(
    conversation: ObjectId, sender: ObjectId, seq: int, content: str, created_at: datetime
) -> dict[str, Any]:
    """Return a message as Loa stores it."""
    return {
        "_id": ObjectId(),
        "conversation_id": conversation,
        "sender_id": sender,
        "content": content,
        "reply_to": None,
        "created_at": created_at,
        "edited_at": None,
        "deleted": False,
        "reactions": {},
        "seq": seq,
        "rev": seq,
        "claims": [seq],
    }


@contextmanager
def load_database(directory: Path, mongodb_uri: str | None, redis_url: str | None) -> Iterator[LoadDatabase]:
    """Yield a LoadDatabase on the given datastores, or on embedded ones with their files in `directory`."""
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
            database = LoadDatabase(found.mongodb_uri, found.redis_url, runner.run)
            database.pids = pids
            try:
                yield database
            finally:
                if mongodb_uri:  # an embedded database is deleted with its files
                    database.drop()
                database.close()
        finally:
            runner.run(stack.aclose())
