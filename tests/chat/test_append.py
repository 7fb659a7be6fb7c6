"""The append: dense numbers, one order, whoever writes."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, BulkWriteError

from service.chat.append import Append, Change, Draft, Stored
from service.chat.head_cache import HeadCache
from service.common.errors import Forbidden, NonceReused, NotFound, Unavailable, ValidationFailed
from service.datastores.mongo import Mongo
from tests.chat.world import ADA, BOB, CAY, World, until_heard
from tests.conftest import Datastores
from tests.recorded_commands import overheard


def assert_dense(messages: list[dict[str, Any]]) -> None:
    """Seqs without holes; every rev that was ever taken was taken once, and the last is their number."""
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    claims = sorted(claim for message in messages for claim in message["claims"])
    assert claims == list(range(1, len(claims) + 1))
    assert all(message["rev"] == message["claims"][-1] for message in messages)


async def test_numbers_are_dense_and_orders_agree_under_many_processes(processes: Callable[..., World]) -> None:
    """Four processes, three senders each, all at one conversation; every sender's own order is kept."""
    worlds = [processes() for _ in range(4)]
    conversation = await worlds[0].group(ADA, BOB, CAY)

    async def sender(world: World, user: str, name: str) -> None:
        await asyncio.gather(*[world.chat.submit(user, conversation, f"{name} {n}") for n in range(15)])

    await asyncio.gather(
        *[sender(world, user, f"{place}{user}") for place, world in enumerate(worlds) for user in (ADA, BOB, CAY)]
    )
    stored = await worlds[0].stored(conversation)
    assert len(stored) == 4 * 3 * 15
    assert_dense(stored)
    for name in {message["content"].split()[0] for message in stored}:
        own = [int(m["content"].split()[1]) for m in stored if m["content"].split()[0] == name]
        assert own == list(range(15))


async def test_changes_and_messages_of_many_processes_share_one_count(processes: Callable[..., World]) -> None:
    """Edits, reactions and messages at once: no rev is given twice, and none is left out."""
    worlds = [processes() for _ in range(3)]
    conversation = await worlds[0].group(ADA, BOB)
    first = [(await worlds[0].chat.send(ADA, conversation, f"m{n}"))[0]["id"] for n in range(3)]

    async def busy(world: World, place: int) -> None:
        for n in range(8):
            await world.chat.edit(ADA, conversation, first[n % 3], f"edit {place} {n}")
            await world.chat.react(BOB, conversation, first[n % 3], "👍", on=n % 2 == 0)
            await world.chat.send(BOB, conversation, f"new {place} {n}")

    await asyncio.gather(*[busy(world, place) for place, world in enumerate(worlds)])
    stored = await worlds[0].stored(conversation)
    assert len(stored) == 3 + 3 * 8
    assert_dense(stored)
    for world in worlds:
        await world.chat.flush_counters()
    assert (await worlds[0].membership.get(ADA, conversation))["last_rev"] == max(m["rev"] for m in stored)


async def test_a_writer_that_slept_is_not_given_a_number_that_was_passed(processes: Callable[..., World]) -> None:
    """Its number was taken by an edit and left again by the next; it must not come in behind them."""
    world = processes()
    conversation = await world.group(ADA, BOB)
    message = (await world.chat.send(ADA, conversation, "one"))[0]
    append = Append(HeadCache(world.conversations, world.messages, world.dispatcher.last_known), world.messages)
    places = await world.conversations.places([ObjectId(conversation)])
    for n in range(3):
        await world.chat.edit(ADA, conversation, message["id"], f"edit {n}")

    async def stale(_: object) -> Any:
        return places

    world.conversations.places = stale  # type: ignore[method-assign,assignment]
    [stored] = await append.write([Draft(ObjectId(conversation), ObjectId(BOB), "late")])
    assert isinstance(stored, Stored)
    assert (stored.message["seq"], stored.message["rev"]) == (2, 5)


async def test_a_nonce_is_one_message_however_many_send_it(processes: Callable[..., World]) -> None:
    """Fifty at once through two processes; other content under it is refused, and later edits do not matter."""
    one, two = processes(), processes()
    conversation = await one.group(ADA, BOB)
    sent = await asyncio.gather(
        *[world.chat.send(ADA, conversation, "hello", "n1") for world in (one, two) for _ in range(25)]
    )
    assert len({message["id"] for message, _ in sent}) == 1
    assert sum(new for _, new in sent) == 1
    with pytest.raises(NonceReused):
        await one.chat.send(ADA, conversation, "other", "n1")
    await one.chat.edit(ADA, conversation, sent[0][0]["id"], "edited")
    again, new = await two.chat.send(ADA, conversation, "hello", "n1")
    assert (again["content"], new) == ("edited", False)
    with pytest.raises(NonceReused):
        await one.chat.send(ADA, conversation, "edited", "n1")
    # Another sender's nonce is another nonce.
    assert (await one.chat.send(BOB, conversation, "other", "n1"))[1]
    assert len(await one.stored(conversation)) == 2


async def test_what_is_refused_leaves_no_hole_and_stops_no_other(world: World) -> None:
    """A stranger, an unknown conversation, a reply to nothing, a used nonce: each alone."""
    here, elsewhere = await world.group(ADA, BOB), await world.group(ADA, CAY)
    other = (await world.chat.send(ADA, elsewhere, "elsewhere"))[0]["id"]
    await world.chat.send(ADA, here, "first", "n")
    outcomes = await asyncio.gather(
        world.chat.submit(ADA, here, "good 1"),
        world.chat.submit(CAY, here, "stranger"),
        world.chat.submit(ADA, "f" * 24, "nowhere"),
        world.chat.submit(ADA, here, "reply to another conversation's", None, other),
        world.chat.submit(ADA, here, "again", "n"),
        world.chat.submit(BOB, here, "good 2"),
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Stored, NotFound, NotFound, ValidationFailed, NonceReused, Stored]
    stored = await world.stored(here)
    assert [message["content"] for message in stored] == ["first", "good 1", "good 2"]
    assert_dense(stored)


async def test_a_hundred_messages_that_wait_together_cost_as_many_commands_as_one(
    datastores: Datastores,
) -> None:
    """Read how the conversations stand and insert the messages; raise the conversations when they are acknowledged."""
    async with overheard(datastores) as (mongo, commands):
        world = World(mongo.database)
        await world.create_indexes()
        conversations = [await world.group(ADA, BOB) for _ in range(10)]
        for _ in range(2):
            commands.seen.clear()
            await asyncio.gather(*[world.chat.submit(ADA, conversations[n % 10], f"m{n}") for n in range(100)])
            await world.chat.flush_counters()
            assert commands.seen == ["find conversations", "insert messages", "update conversations"]
        await world.close()


async def test_a_write_whose_answer_is_lost_is_neither_acknowledged_nor_doubled(world: World) -> None:
    """It is told to the listeners once the database answers again, and the sender's repetition finds it."""
    conversation = await world.group(ADA, BOB)
    listener = world.listen(BOB)
    await world.membership.hello(BOB)
    await world.chat.start()
    insert_many = world.messages.collection.insert_many

    async def lost(documents: list[Any], **kwargs: Any) -> Any:
        await insert_many(documents, **kwargs)
        raise AutoReconnect("the answer is lost")

    class Losing:
        def __getattr__(self, name: str) -> Any:
            return getattr(collection, name)

        insert_many = staticmethod(lost)

    collection, world.messages.collection = world.messages.collection, Losing()  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await world.chat.send(ADA, conversation, "hello", "n1")
    world.messages.collection = collection
    [event] = await until_heard(listener, "new_message")
    assert event["data"]["content"] == "hello"
    message, new = await world.chat.send(ADA, conversation, "hello", "n1")
    assert (message["seq"], new) == (1, False)
    assert (await world.membership.get(BOB, conversation))["last_seq"] == 1


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
def test_any_interleaving_of_sends_and_changes_leaves_dense_numbers(
    datastores: Datastores, lanes: list[list[Any]]
) -> None:
    """Several lanes of steps over two processes at once, whatever of it is refused."""

    async def run() -> None:
        mongo = Mongo(datastores.database(f"test_{uuid.uuid4().hex}"))
        try:
            worlds = [World(mongo.database), World(mongo.database)]
            await worlds[0].create_indexes()
            conversation = await worlds[0].group(ADA, BOB)
            ids = [(await worlds[0].chat.send(ADA, conversation, "first"))[0]["id"]]

            async def lane(steps: list[Any]) -> None:
                for what, process, user, which in steps:
                    chat = worlds[process].chat
                    target = ids[which % len(ids)]
                    with suppress(Forbidden):
                        if what == "send":
                            ids.append((await chat.send(user, conversation, f"m{which}"))[0]["id"])
                        elif what == "edit":
                            await chat.edit(user, conversation, target, f"e{which}")
                        elif what == "delete":
                            await chat.delete(user, conversation, target)
                        else:
                            await chat.react(user, conversation, target, "👍", on=which % 2 == 0)

            await asyncio.gather(*[lane(steps) for steps in lanes])
            stored = await worlds[0].stored(conversation)
            assert len(stored) == len(ids)
            assert_dense(stored)
            for world in worlds:
                await world.close()
        finally:
            await mongo.database.client.drop_database(mongo.database.name)
            mongo.close()

    asyncio.run(run())


async def test_a_change_is_applied_to_what_is_stored_now(processes: Callable[..., World]) -> None:
    """Ten reactions through two processes to one message: none overwrites another."""
    one, two = processes(), processes()
    users = [f"{n:024x}" for n in range(1, 11)]
    conversation = await one.group(*users)
    message = (await one.chat.send(users[0], conversation, "vote"))[0]["id"]
    await asyncio.gather(
        *[
            world.chat.react(user, conversation, message, "👍", on=True)
            for world, user in zip([one, two] * 5, users, strict=True)
        ]
    )
    [stored] = await one.stored(conversation)
    assert sorted(stored["reactions"]["👍"]) == users
    assert stored["rev"] == 11


async def test_a_change_of_a_message_elsewhere_is_not_found(world: World) -> None:
    """The conversation named must be the message's own."""
    here, elsewhere = await world.group(ADA, BOB), await world.group(ADA, CAY)
    message = (await world.chat.send(ADA, elsewhere, "elsewhere"))[0]["id"]
    append = Append(HeadCache(world.conversations, world.messages, world.dispatcher.last_known), world.messages)
    change = Change(ObjectId(here), ObjectId(ADA), ObjectId(message), lambda document: {"content": "x"})
    assert [type(outcome) for outcome in await append.write([change])] == [NotFound]


async def test_what_the_database_refuses_in_part_and_does_not_confirm_is_not_acknowledged(world: World) -> None:
    """A taken number and a write concern that timed out, in one answer: what went before may not last."""
    conversation = await world.group(ADA, BOB)
    append = Append(HeadCache(world.conversations, world.messages, world.dispatcher.last_known), world.messages)

    class Unconfirmed:
        async def insert_many(self, documents: list[dict[str, Any]], ordered: bool) -> None:
            raise BulkWriteError(
                {
                    "writeErrors": [{"index": 1, "code": 11000, "errmsg": "duplicate"}],
                    "writeConcernErrors": [{"code": 64, "errmsg": "waited"}],
                    "nInserted": 1,
                }
            )

    world.messages.collection = Unconfirmed()  # type: ignore[assignment]
    drafts = [Draft(ObjectId(conversation), ObjectId(ADA), f"m{n}") for n in range(2)]
    with pytest.raises(Unavailable):
        await append.write(drafts)
