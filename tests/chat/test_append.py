"""The append of the chat: dense numbers and one order for all writers."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, BulkWriteError, PyMongoError

from service.chat.append import AppendMessage, ChangeMessage, MessageAppend, StoredMessage
from service.chat.head_cache import HeadCache
from service.common.errors import Forbidden, NonceReused, NotFound, Unavailable, ValidationFailed
from service.datastores.lanes import Contention
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, FakeProfiles, wait_for_events
from tests.conftest import Datastores
from tests.recorded_commands import recording


def assert_dense(messages: list[dict[str, Any]]) -> None:
    """Assert that seqs and revs have no gaps, and that every rev belongs to one message."""
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    revs = sorted(rev for message in messages for rev in message["claims"])
    assert revs == list(range(1, len(revs) + 1))
    assert all(message["rev"] == message["claims"][-1] for message in messages)


class Inserts:
    """A collection whose `insert_many` is replaced."""

    def __init__(self, collection: Any, insert_many: Callable[[list[Any]], Awaitable[None]]) -> None:
        self._collection = collection
        self._insert_many = insert_many

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def insert_many(self, documents: list[Any], ordered: bool) -> None:
        await self._insert_many(documents)


def new_append(process: ChatProcess) -> MessageAppend:
    """Return an append with an empty cache."""
    heads = HeadCache(process.conversation_store, process.message_store, process.dispatcher.last_known)
    return MessageAppend(heads, process.message_store, FakeProfiles().ids_by_username, process.attachments)


async def test_concurrent_processes_give_dense_numbers_in_each_senders_order(
    start_process: Callable[..., ChatProcess],
) -> None:
    """Four processes with three senders each write to one conversation."""
    processes = [start_process() for _ in range(4)]
    conversation = await processes[0].group(ADA, BOB, CAY)

    async def sender(process: ChatProcess, user: str, name: str) -> None:
        await asyncio.gather(*[process.messages.submit(user, conversation, f"{name} {n}") for n in range(15)])

    await asyncio.gather(
        *[
            sender(process, user, f"{index}{user}")
            for index, process in enumerate(processes)
            for user in (ADA, BOB, CAY)
        ]
    )
    stored = await processes[0].stored(conversation)
    assert len(stored) == 4 * 3 * 15
    assert_dense(stored)
    for name in {message["content"].split()[0] for message in stored}:
        own = [int(m["content"].split()[1]) for m in stored if m["content"].split()[0] == name]
        assert own == list(range(15))


async def test_changes_and_messages_share_one_rev_sequence(start_process: Callable[..., ChatProcess]) -> None:
    """Concurrent edits, reactions and messages of three processes: no rev is taken twice, none is skipped."""
    processes = [start_process() for _ in range(3)]
    conversation = await processes[0].group(ADA, BOB)
    first = [(await processes[0].messages.send(ADA, conversation, f"m{n}"))[0]["id"] for n in range(3)]

    async def busy(process: ChatProcess, index: int) -> None:
        for n in range(8):
            await process.messages.edit(ADA, conversation, first[n % 3], f"edit {index} {n}")
            await process.messages.react(BOB, conversation, first[n % 3], "👍", on=n % 2 == 0)
            await process.messages.send(BOB, conversation, f"new {index} {n}")

    await asyncio.gather(*[busy(process, index) for index, process in enumerate(processes)])
    stored = await processes[0].stored(conversation)
    assert len(stored) == 3 + 3 * 8
    assert_dense(stored)
    for process in processes:
        await process.messages.flush_counters()
    assert (await processes[0].conversations.get(ADA, conversation))["last_rev"] == max(m["rev"] for m in stored)


async def test_stalled_writer_does_not_get_a_passed_rev(start_process: Callable[..., ChatProcess]) -> None:
    """The rev that it would take was taken by an edit and left by the next edit: it stays taken."""
    process = start_process()
    conversation = await process.group(ADA, BOB)
    message = (await process.messages.send(ADA, conversation, "one"))[0]
    append = new_append(process)
    heads = await process.conversation_store.heads([ObjectId(conversation)])
    for n in range(3):
        await process.messages.edit(ADA, conversation, message["id"], f"edit {n}")

    async def stale(*_: object) -> Any:
        return heads

    process.conversation_store.heads = stale  # type: ignore[method-assign,assignment]
    [stored] = await append.write([AppendMessage(ObjectId(conversation), ObjectId(BOB), "late")])
    assert isinstance(stored, StoredMessage)
    assert (stored.message["seq"], stored.message["rev"]) == (2, 5)


async def test_nonce_identifies_one_message(start_process: Callable[..., ChatProcess]) -> None:
    """For fifty concurrent sends through two processes, and after an edit; other content is refused."""
    one, two = start_process(), start_process()
    conversation = await one.group(ADA, BOB)
    sent = await asyncio.gather(
        *[process.messages.send(ADA, conversation, "hello", "n1") for process in (one, two) for _ in range(25)]
    )
    assert len({message["id"] for message, _ in sent}) == 1
    assert sum(new for _, new in sent) == 1
    with pytest.raises(NonceReused):
        await one.messages.send(ADA, conversation, "other", "n1")
    await one.messages.edit(ADA, conversation, sent[0][0]["id"], "edited")
    again, new = await two.messages.send(ADA, conversation, "hello", "n1")
    assert (again["content"], new) == ("edited", False)
    with pytest.raises(NonceReused):
        await one.messages.send(ADA, conversation, "edited", "n1")
    # Nonces of different senders are independent.
    assert (await one.messages.send(BOB, conversation, "other", "n1"))[1]
    assert len(await one.stored(conversation)) == 2


async def test_refused_messages_leave_no_gap_and_fail_alone(process: ChatProcess) -> None:
    """A non-participant, an unknown conversation, a reply to another conversation, a reused nonce."""
    here, elsewhere = await process.group(ADA, BOB), await process.group(ADA, CAY)
    other = (await process.messages.send(ADA, elsewhere, "elsewhere"))[0]["id"]
    await process.messages.send(ADA, here, "first", "n")
    outcomes = await asyncio.gather(
        process.messages.submit(ADA, here, "good 1"),
        process.messages.submit(CAY, here, "stranger"),
        process.messages.submit(ADA, "f" * 24, "nowhere"),
        process.messages.submit(ADA, here, "reply to another conversation's", None, other),
        process.messages.submit(ADA, here, "again", "n"),
        process.messages.submit(BOB, here, "good 2"),
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [StoredMessage, NotFound, NotFound, ValidationFailed, NonceReused, StoredMessage]
    stored = await process.stored(here)
    assert [message["content"] for message in stored] == ["first", "good 1", "good 2"]
    assert_dense(stored)


async def test_batch_of_a_hundred_messages_takes_two_commands(datastores: Datastores) -> None:
    """One to store them, before they are acknowledged, and later one for the counters. The first batch also reads the
    participants."""
    async with recording(datastores) as (mongo, commands):
        process = ChatProcess(mongo.database)
        await process.create_indexes()
        conversations = [await process.group(ADA, BOB) for _ in range(10)]
        for reads in (["find conversations"], []):
            commands.recorded.clear()
            await asyncio.gather(*[process.messages.submit(ADA, conversations[n % 10], f"m{n}") for n in range(100)])
            await process.messages.flush_counters()
            assert commands.recorded == [*reads, "insert messages", "update conversations"]
        await process.close()


async def test_message_whose_write_reply_is_lost_is_published_and_not_duplicated(process: ChatProcess) -> None:
    """The sender gets Unavailable; reconciliation publishes the message, and a repeated send finds it."""
    conversation = await process.group(ADA, BOB)
    listener = process.listen(BOB)
    await process.conversations.heads_for_hello(BOB)
    await process.messages.start()
    append = process.messages._append._append
    collection = append._collection

    async def lose_reply(documents: list[Any]) -> None:
        await collection.insert_many(documents)
        raise AutoReconnect("the reply is lost")

    append._collection = Inserts(collection, lose_reply)  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await process.messages.send(ADA, conversation, "hello", "n1")
    append._collection = collection
    [event] = await wait_for_events(listener, "new_message")
    assert event["data"]["content"] == "hello"
    message, new = await process.messages.send(ADA, conversation, "hello", "n1")
    assert (message["seq"], new) == (1, False)
    assert (await process.conversations.get(BOB, conversation))["last_seq"] == 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["send", "edit", "delete", "react"]),
        st.integers(0, 1),
        st.sampled_from([ADA, BOB]),
        st.integers(0, 5),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=1, max_size=3))
def test_any_interleaving_of_sends_and_changes_gives_dense_numbers(
    datastores: Datastores, lanes: list[list[Any]]
) -> None:
    """Several sequences of steps run concurrently on two processes; some steps are refused."""

    async def run() -> None:
        mongo = Mongo(datastores.database(f"test_{uuid.uuid4().hex}"))
        try:
            processes = [ChatProcess(mongo.database), ChatProcess(mongo.database)]
            await processes[0].create_indexes()
            conversation = await processes[0].group(ADA, BOB)
            ids = [(await processes[0].messages.send(ADA, conversation, "first"))[0]["id"]]

            async def lane(steps: list[Any]) -> None:
                for action, process, user, target_index in steps:
                    messages = processes[process].messages
                    target = ids[target_index % len(ids)]
                    with suppress(Forbidden):
                        if action == "send":
                            ids.append((await messages.send(user, conversation, f"m{target_index}"))[0]["id"])
                        elif action == "edit":
                            await messages.edit(user, conversation, target, f"e{target_index}")
                        elif action == "delete":
                            await messages.delete(user, conversation, target)
                        else:
                            await messages.react(user, conversation, target, "👍", on=target_index % 2 == 0)

            await asyncio.gather(*[lane(steps) for steps in lanes])
            stored = await processes[0].stored(conversation)
            assert len(stored) == len(ids)
            assert_dense(stored)
            for process in processes:
                await process.close()
        finally:
            await mongo.database.client.drop_database(mongo.database.name)
            mongo.close()

    asyncio.run(run())


async def test_concurrent_changes_of_one_message_are_all_applied(start_process: Callable[..., ChatProcess]) -> None:
    """Ten reactions through two processes to one message: none overwrites another."""
    one, two = start_process(), start_process()
    users = [f"{n:024x}" for n in range(1, 11)]
    conversation = await one.group(*users)
    message = (await one.messages.send(users[0], conversation, "vote"))[0]["id"]
    await asyncio.gather(
        *[
            process.messages.react(user, conversation, message, "👍", on=True)
            for process, user in zip([one, two] * 5, users, strict=True)
        ]
    )
    [stored] = await one.stored(conversation)
    assert sorted(stored["reactions"]["👍"]) == users
    assert stored["rev"] == 11


async def test_change_requires_the_messages_own_conversation(process: ChatProcess) -> None:
    """A message of another conversation is not found."""
    here, elsewhere = await process.group(ADA, BOB), await process.group(ADA, CAY)
    message = (await process.messages.send(ADA, elsewhere, "elsewhere"))[0]["id"]
    append = new_append(process)
    change = ChangeMessage(ObjectId(here), ObjectId(ADA), ObjectId(message), lambda document: {"content": "x"})
    assert [type(outcome) for outcome in await append.write([change])] == [NotFound]


async def test_unconfirmed_write_is_not_acknowledged(process: ChatProcess) -> None:
    """A taken number and a write concern timeout in one reply: the messages before may not be durable."""
    conversation = await process.group(ADA, BOB)

    async def time_out(documents: list[Any]) -> None:
        raise BulkWriteError(
            {
                "writeErrors": [{"index": 1, "code": 11000, "errmsg": "duplicate"}],
                "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}],
                "nInserted": 1,
            }
        )

    append = new_append(process)
    append._append._collection = Inserts(append._append._collection, time_out)  # type: ignore[assignment]
    requests = [AppendMessage(ObjectId(conversation), ObjectId(ADA), f"m{n}") for n in range(2)]
    assert [Unavailable, Unavailable] == [type(outcome) for outcome in await append.write(requests)]


async def test_messages_confirmed_before_an_outage_are_acknowledged(process: ChatProcess) -> None:
    """The first message is confirmed, the second one's number is taken, and then the database is lost."""
    conversation = await process.group(ADA, BOB)
    append = new_append(process)
    collection = append._append._collection

    async def lose_connection(documents: list[Any]) -> None:
        raise AutoReconnect("connection lost")

    async def take_number(documents: list[Any]) -> None:
        await collection.insert_many(documents[:1])
        append._append._collection = Inserts(collection, lose_connection)  # type: ignore[assignment]
        write_errors = [{"index": 1, "code": 11000, "errmsg": "duplicate"}]
        raise BulkWriteError({"writeErrors": write_errors, "writeConcernErrors": [], "nInserted": 1})

    append._append._collection = Inserts(collection, take_number)  # type: ignore[assignment]
    requests = [AppendMessage(ObjectId(conversation), ObjectId(ADA), f"m{n}") for n in range(3)]
    outcomes = await append.write(requests, Contention())
    assert [StoredMessage, Unavailable, Unavailable] == [type(outcome) for outcome in outcomes]


async def test_message_refused_by_a_validator_fails_alone(process: ChatProcess) -> None:
    """The other messages of its batch are stored, with adjacent numbers."""
    conversation = await process.group(ADA, BOB)
    await process.messages.send(ADA, conversation, "first")
    database = process.message_store.collection.database
    await database.command("collMod", "messages", validator={"content": {"$ne": "refused"}})
    outcomes = await asyncio.gather(
        *[process.messages.submit(ADA, conversation, content) for content in ("a", "refused", "b", "refused", "c")],
        return_exceptions=True,
    )
    assert [StoredMessage, PyMongoError, StoredMessage, PyMongoError, StoredMessage] == list(map(type, outcomes))
    stored = await process.stored(conversation)
    assert ["first", "a", "b", "c"] == [message["content"] for message in stored]
    assert_dense(stored)
