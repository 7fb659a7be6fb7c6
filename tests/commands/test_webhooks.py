"""`python -m service webhooks`: what is parked, and sending it again."""

import asyncio

from config.settings import Settings
from service.common.times import now
from service.datastores.mongo import Mongo
from service.webhooks.delivery_store import Delivery, DeliveryStore
from tests.commands.conftest import Command


async def park(mongo: Mongo, *ids: str) -> DeliveryStore:
    store = DeliveryStore(mongo.database)
    await store.add([Delivery(id, "user.created", "private", now()) for id in ids], gone=True)
    await store.mark_gone("https://example.org/")
    return store


async def test_parked_webhooks_are_listed_and_sent_again(command: Command, mongo: Mongo, settings: Settings) -> None:
    """One, or all of them; the receiver is no longer taken for gone. No body is shown."""
    store = await park(mongo, "user_created_1", "user_created_2", "user_created_3")
    environment = {"MONGODB_URI": str(settings.mongodb_uri), "JWT_SECRET": "x" * 32}
    code, output = await asyncio.to_thread(command, "webhooks", **environment)
    assert (0, 3) == (code, output.count("last: gone"))
    assert all(f"user_created_{number}  " in output for number in (1, 2, 3))
    assert "private" not in output
    assert await store.is_gone("https://example.org/")

    code, output = await asyncio.to_thread(command, "webhooks", "--resend", "user_created_2", **environment)
    assert (0, "1 webhook will be sent again at once.\n") == (code, output)
    assert not await store.is_gone("https://example.org/")
    assert ["user_created_2"] == [each.id for each in await store.due(10, ())]
    code, output = await asyncio.to_thread(command, "webhooks", "--resend", "all", **environment)
    assert (0, "2 webhooks will be sent again at once.\n") == (code, output)
    assert 3 == len(await store.due(10, ()))

    code, output = await asyncio.to_thread(command, "webhooks", **environment)
    assert (0, "No webhook is parked.\n") == (code, output)
    code, output = await asyncio.to_thread(command, "webhooks", "--resend", "user_created_2", **environment)
    assert (1, "loa: no webhook with this id is parked\n") == (code, output)


def test_without_a_database_there_is_nothing_to_list(command: Command) -> None:
    code, output = command("webhooks")
    assert 1 == code
    assert output.startswith("loa: DATA_DIR: no Loa is running in ")
    code, output = command("webhooks", MONGODB_URI="mongodb://127.0.0.1:1/loa", JWT_SECRET="x" * 32)
    assert 1 == code
    assert output.startswith("loa: MONGODB_URI: the database cannot be used: 127.0.0.1:1: ")
