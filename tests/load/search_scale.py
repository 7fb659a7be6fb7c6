"""The search in one conversation of a million messages, and in 500 conversations of one user:
`python -m tests.load.search_scale`. Prints how long searches take and how many documents of the database they read.

It starts embedded datastores of its own, unless MONGODB_URI and REDIS_URL name others, and writes the search index of
all messages to them directly, with the messages that searches read.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from service.chat.counter_reader import CounterReader
from service.chat.counter_update import CounterUpdate
from service.common.times import now
from service.datastores.mongo import Document, Mongo
from service.search.index_writer import IndexWriter
from service.search.models import MessageSearch
from service.search.search_service import SearchService
from service.stores import Stores
from tests.load.database import LoadDatabase, User, load_database, stored_message

BATCH = 1000
WORDS_EACH = 10
RARE, SELDOM, FREQUENT = "hiếm", "thỉnh", "chào"
SELDOM_TIMES = 25
"""In as many messages of the whole, at even distances."""
STORED = 20_000
"""The newest messages are stored, and those with a rare word: no search reads others. All are in the search index."""
REPETITIONS = 20
QUERIES = {
    "a word that one message has": "hiem",
    f"a word that {SELDOM_TIMES} messages have": "thinh",
    "a word that a tenth of the messages have": "chao",
    "a word that no message has": "khongdau",
    "its first letter": "h",
    "two words": "chao thinh",
    "a phrase": '"chao ban"',
    "a phrase that no message has, of frequent words": '"ban chao"',
}


class ReadCounter(CommandListener):
    """Counts the commands, and the documents that they return."""

    def __init__(self) -> None:
        self.commands = self.documents = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.commands += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self.documents += len(event.reply.get("cursor", {}).get("firstBatch", ()))

    def failed(self, event: CommandFailedEvent) -> None:
        pass


class Vocabulary:
    """Syllables as often as words of a language are: the n-th has 1/n of the first one's frequency."""

    def __init__(self, size: int = 20_000) -> None:
        self._choose = random.Random(1)
        letters = "bcdghklmnprstvx"
        endings = ("a", "ang", "anh", "ôi", "ươi", "ắt", "iệt", "o", "uyên", "ù")
        found = {f"{self._choose.choice(letters)}{self._choose.choice(endings)}{number}" for number in range(size)}
        self._words = sorted(found, key=lambda word: self._choose.random())
        total = 0.0
        self._weights = [total := total + 1 / rank for rank in range(1, len(self._words) + 1)]

    def text(self, seq: int, count: int) -> str:
        words = self._choose.choices(self._words, cum_weights=self._weights, k=WORDS_EACH)
        if seq % 10 == 0:
            words[2:4] = [FREQUENT, "bạn"]
        if seq % max(2, count // SELDOM_TIMES) == 1:
            words[0] = SELDOM
        if seq == count // 10:
            words[1] = RARE
        return " ".join(words)


def messages(
    conversation: ObjectId, senders: tuple[User, User], count: int, vocabulary: Vocabulary
) -> Iterator[Document]:
    begin = now() - timedelta(seconds=count)
    for seq in range(1, count + 1):
        sender, content = senders[seq % 2].id, vocabulary.text(seq, count)
        yield stored_message(conversation, sender, seq, content, begin + timedelta(seconds=seq))


def is_seldom(message: Document) -> bool:
    return SELDOM in message["content"] or RARE in message["content"]


class Scale:
    """The data, and the searches in it."""

    def __init__(self, database: LoadDatabase) -> None:
        self._database = database
        self._reads = ReadCounter()
        self._mongo = Mongo(database.mongodb_uri, [self._reads])
        self._stores = Stores.build(self._mongo.database)
        self._vocabulary = Vocabulary()
        self._user, self._other = database.users(2)

    def write(self, counts: Collection[int]) -> list[str]:
        """Create a conversation of each of these numbers of messages. Returns their ids."""
        conversations = [self._database.create_group([self._user, self._other]) for _ in counts]
        self._database.run(self._write(dict(zip(conversations, counts, strict=True))))
        return conversations

    async def _write(self, counts: Mapping[str, int]) -> None:
        store = self._stores.search_index
        writer = IndexWriter(store)
        for key, count in counts.items():
            id = ObjectId(key)
            batch: list[Document] = []
            for document in messages(id, (self._user, self._other), count, self._vocabulary):
                batch.append(document)
                if len(batch) == BATCH or document["seq"] == count:
                    head = (await store.heads([id]))[id]
                    await writer.add({id: head}, {id: batch})
                    if read := [each for each in batch if count - each["seq"] < STORED or is_seldom(each)]:
                        await self._stores.messages.collection.insert_many(read, ordered=False)
                    batch.clear()
            last = CounterUpdate(rev=count, seq=count, message_id=document["_id"], at=document["created_at"])
            await self._stores.conversations.apply_counters({id: last})

    def without_message_indexes(self) -> None:
        """Each index would cost as much as the message; searches need one."""

        async def drop() -> None:
            await self._stores.messages.collection.drop_indexes()
            await self._stores.messages.collection.create_index([("conversation_id", 1), ("seq", 1)], unique=True)

        self._database.run(drop())

    def search(self, title: str, **where: Any) -> None:
        print(f"\n{title}\n| | median ms | worst ms | commands | documents | found |\n|---|---|---|---|---|---|")
        for name, query in QUERIES.items():
            self._database.run(self._search(name, MessageSearch(q=query, **where)))

    async def _search(self, name: str, request: MessageSearch) -> None:
        async def positions(topics: Mapping[str | None, Collection[str]]) -> Mapping[str, int]:
            return {topic: 0 for own in topics.values() for topic in own}

        stores = self._stores
        counters = CounterReader(stores.messages, positions)
        service = SearchService(stores.conversations, stores.messages, stores.search_index, counters)
        times: list[float] = []
        self._reads.commands = self._reads.documents = 0
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            items, following = await service.search(str(self._user.id), request)
            times.append((time.perf_counter() - began) * 1000)
        commands, documents = self._reads.commands / REPETITIONS, self._reads.documents / REPETITIONS
        found = f"{len(items)}{', and more' if following else ''}"
        took = f"{statistics.median(times):.1f} | {max(times):.1f}"
        print(f"| {name} | {took} | {commands:.0f} | {documents:.0f} | {found} |", flush=True)

    def close(self) -> None:
        self._mongo.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="of the one conversation")
    parser.add_argument("--conversations", type=int, default=500)
    parser.add_argument("--each", type=int, default=200, help="messages of each of them")
    options = parser.parse_args()
    uris = os.environ.get("MONGODB_URI"), os.environ.get("REDIS_URL")
    with tempfile.TemporaryDirectory() as directory, load_database(Path(directory), *uris) as database:
        scale = Scale(database)
        scale.without_message_indexes()
        began = time.monotonic()
        scale.write([options.each] * options.conversations)
        [large] = scale.write([options.messages])
        print(f"writing: {time.monotonic() - began:.0f} s", flush=True)
        scale.search(f"In one conversation of {options.messages} messages", conversation_id=large)
        scale.search(f"In {options.conversations} conversations of {options.each} messages and that one")
        scale.close()


if __name__ == "__main__":
    main()
