"""The store of messages: what was changed is read in pieces of a bounded size."""

from collections.abc import AsyncIterator, Iterable

import pytest
from bson import BSON, ObjectId
from pymongo import monitoring

from config.settings import Settings
from service.chat.message_service import SYNC_BYTES
from service.chat.message_store import AT_ONCE, FIRST_WINDOW, MessageStore
from service.common.times import now
from service.datastores.mongo import Mongo
from tests.chat.world import ADA, BOB, World
from tests.conftest import drop


class Replies(monitoring.CommandListener):
    """The documents that came with each answer of the database, and their bytes."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.bytes = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None: ...

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
    """The database, whose answers are looked at."""
    assert settings.mongodb_uri
    mongo = Mongo(settings.mongodb_uri, [replies])
    await MessageStore(mongo.database).create_indexes()
    yield mongo
    mongo.close()
    await drop(settings.mongodb_uri)


async def fill(mongo: Mongo, conversation_id: ObjectId, revs: Iterable[int], content: str = "short") -> None:
    """Messages that stand at these revs."""
    await MessageStore(mongo.database).collection.insert_many(
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
    )


@pytest.mark.parametrize(
    "revs",
    [
        range(1, 400),
        [3, 700, 701, 9000],
        [*range(1, 5), *range(600, 1300)],
        [*range(1, 300, 10), *range(5000, 5400), 20_000],
    ],
    ids=["dense", "sparse", "dense after sparse", "both by turns"],
)
@pytest.mark.parametrize("told", [1.0, 0.0], ids=["all is known", "nothing is known"])
async def test_changes_come_in_order_and_a_bounded_number_in_one_read(
    listened: Mongo, replies: Replies, revs: Iterable[int], told: float
) -> None:
    """However the revs lie, and though more have come than one knew of."""
    conversation_id, revs = ObjectId(), list(revs)
    await fill(listened, conversation_id, revs)
    changes = MessageStore(listened.database).changes(conversation_id, 2, int(told * max(revs)))
    assert [document["rev"] async for document in changes] == [rev for rev in revs if rev > 2]
    assert max(replies.counts) <= AT_ONCE + 1


async def test_little_that_was_missed_is_one_read(listened: Mongo, replies: Replies) -> None:
    """The usual case."""
    conversation_id = ObjectId()
    await fill(listened, conversation_id, range(1, 200))
    changes = MessageStore(listened.database).changes(conversation_id, 199 - FIRST_WINDOW, 199)
    assert len([document async for document in changes]) == FIRST_WINDOW
    assert replies.counts == [FIRST_WINDOW]


async def test_long_messages_are_not_read_to_be_thrown_away(listened: Mongo, replies: Replies) -> None:
    """Of a conversation of megabytes about as much is read as one answer holds, on the socket and over REST."""
    world = World(listened.database)
    conversation = await world.group(ADA, BOB)
    await fill(listened, ObjectId(conversation), range(1, 201), "\N{PARTY POPPER}" * 4000)
    await world.conversations._collection.update_one({"_id": ObjectId(conversation)}, {"$set": {"last_rev": 200}})
    [(_, read)] = await world.chat.missed(ADA, {conversation: 0})
    missed = await read()
    assert (missed.complete, missed.last_rev) == (False, 200)
    assert replies.bytes < 2 * SYNC_BYTES
    replies.bytes = 0
    page = await world.chat.changes(ADA, conversation, 0, 200)
    assert page.items == missed.messages
    assert page.next == page.items[-1]["rev"]
    assert replies.bytes < 2 * SYNC_BYTES
    await world.close()
