"""The store of messages: changes are read in windows of bounded size."""

from collections.abc import AsyncIterator, Iterable

import pytest
from bson import BSON, ObjectId
from pymongo import monitoring

from config.settings import Settings
from service.chat.message_service import SYNC_BYTES
from service.chat.message_store import FIRST_WINDOW, MAX_READ, MessageStore
from service.common.times import now
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, ChatProcess
from tests.conftest import drop_database


class Replies(monitoring.CommandListener):
    """Counts the documents in each reply of the database, and their bytes."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.bytes = 0
        self.read_concerns: list[str | None] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "find" and event.command["find"] == "messages":
            self.read_concerns.append(event.command.get("readConcern", {}).get("level"))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.command_name == "find" and event.reply["cursor"]["ns"].endswith(".messages"):
            batch = event.reply["cursor"]["firstBatch"]
            self.counts.append(len(batch))
            self.bytes += sum(len(BSON.encode(document)) for document in batch)

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@pytest.fixture
def replies() -> Replies:
    return Replies()


@pytest.fixture
async def listened(settings: Settings, replies: Replies) -> AsyncIterator[Mongo]:
    """A client whose replies are counted."""
    assert settings.mongodb_uri
    mongo = Mongo(settings.mongodb_uri, [replies])
    await MessageStore(mongo.database).create_indexes()
    yield mongo
    mongo.close()
    await drop_database(settings.mongodb_uri)


FILL_BATCH = 100


async def fill(mongo: Mongo, conversation_id: ObjectId, revs: Iterable[int], content: str = "short") -> None:
    """Store messages with these revs, in commands that a busy machine, too, answers before the client's timeout."""
    documents = [
        {
            "conversation_id": conversation_id,
            "sender_id": ObjectId(BOB),
            "content": content,
            "reply_to": None,
            "created_at": now(),
            "edited_at": None,
            "deleted": False,
            "reactions": {},
            "seq": rev,
            "rev": rev,
            "claims": [rev],
        }
        for rev in revs
    ]
    for start in range(0, len(documents), FILL_BATCH):
        await MessageStore(mongo.database).collection.insert_many(documents[start : start + FILL_BATCH])


@pytest.mark.parametrize(
    "revs",
    [
        range(1, 400),
        [3, 700, 701, 9000],
        [*range(1, 5), *range(600, 1300)],
        [*range(1, 300, 10), *range(5000, 5400), 20_000],
    ],
    ids=["dense", "sparse", "dense after sparse", "dense and sparse"],
)
@pytest.mark.parametrize("known", [1.0, 0.0], ids=["last rev known", "last rev unknown"])
async def test_changes_are_ordered_and_each_read_is_bounded(
    listened: Mongo, replies: Replies, revs: Iterable[int], known: float
) -> None:
    """For dense and sparse revs, and with more messages than the caller knew of."""
    conversation_id, revs = ObjectId(), list(revs)
    await fill(listened, conversation_id, revs)
    changes = MessageStore(listened.database).changes(conversation_id, 2, int(known * max(revs)))
    assert [document["rev"] async for document in changes] == [rev for rev in revs if rev > 2]
    assert max(replies.counts) <= MAX_READ + 1


async def test_few_changes_take_one_read(listened: Mongo, replies: Replies) -> None:
    """The usual case: FIRST_WINDOW revs or fewer."""
    conversation_id = ObjectId()
    await fill(listened, conversation_id, range(1, 200))
    changes = MessageStore(listened.database).changes(conversation_id, 199 - FIRST_WINDOW, 199)
    assert len([document async for document in changes]) == FIRST_WINDOW
    assert replies.counts == [FIRST_WINDOW]


async def test_no_more_messages_are_read_than_one_response_holds(listened: Mongo, replies: Replies) -> None:
    """Of a conversation of megabytes about as much is read as one answer holds, on the socket and over REST."""
    process = ChatProcess(listened.database)
    conversation = await process.group(ADA, BOB)
    await fill(listened, ObjectId(conversation), range(1, 201), "\N{PARTY POPPER}" * 4000)
    await process.conversation_store._collection.update_one(
        {"_id": ObjectId(conversation)}, {"$set": {"last_rev": 200}}
    )
    [(_, read)] = await process.messages.catch_up(ADA, {conversation: 0})
    catch_up = await read()
    assert (catch_up.complete, catch_up.last_rev) == (False, 200)
    assert replies.bytes < 2 * SYNC_BYTES
    replies.bytes = 0
    page = await process.messages.changes(ADA, conversation, 0, 200)
    assert page.items == catch_up.messages
    assert page.next == page.items[-1]["rev"]
    assert replies.bytes < 2 * SYNC_BYTES
    await process.close()


async def test_reads_use_read_concern_majority(listened: Mongo, replies: Replies) -> None:
    """A rev that a fail-over may roll back must neither be shown to a client nor counted on by a writer."""
    conversation_id, store = ObjectId(), MessageStore(listened.database)
    await fill(listened, conversation_id, [1, 2])
    assert [1, 2] == [message["seq"] for message in await store.range(conversation_id, 1, 2)]
    assert {1, 2} == {message["rev"] for message in await store.tail(conversation_id, 0, 0)}
    assert [1, 2] == [message["rev"] async for message in store.changes(conversation_id, 0, 2)]
    [message, _] = await store.range(conversation_id, 1, 2)
    assert await store.get(conversation_id, message["_id"])
    assert await store.get_many([(conversation_id, message["_id"])])
    assert {"majority"} == set(replies.read_concerns)
