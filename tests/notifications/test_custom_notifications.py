"""Notifications of the site's own types: stored, numbered and published like those of comments."""

import asyncio
import json

import pytest
from bson import ObjectId

from service.common.errors import NonceReused
from service.common.ids import new_id
from service.common.profiles import Profile
from service.datastores.mongo import Mongo
from service.notifications import service
from service.notifications.models import CustomNotification, CustomRequest
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess, queued_notifications

EXTRA = {"$where": "1", "a.b": [1, {"": None}], "tên": "Bình 👍", "big": 2**70}


def request(
    user_id: str, sender: Profile | None = None, type: str = "ORDER_SHIPPED", **fields: object
) -> CustomRequest:
    return CustomRequest(type, user_id, sender, **{"content": "It is on its way", **fields})  # type: ignore[arg-type]


async def items(process: ServiceProcess, user_id: str) -> list[dict[str, object]]:
    page = await process.notifications.page(user_id, limit=30, before=None, unread=False)
    shown = await process.notifications.page_json(user_id, limit=30, before=None, unread=False)
    assert shown == page.model_dump()
    listed: list[dict[str, object]] = shown["items"]
    return listed


async def test_it_is_numbered_and_published_with_the_others(process: ServiceProcess) -> None:
    """Its data have what the site has sent, and a sender only if there is one."""
    user, sender = await process.add_user(), await process.add_user("Trần Thị Bình")
    connection = process.connect(user)
    profile = (await process.users.profiles([sender]))[sender]
    await process.notifications.notify([process.request(user, sender, profile.display_name)])
    fields = {"url": "/orders/7", "extra": EXTRA, "group_key": "order-7"}
    await process.notifications.notify([request(user, profile, **fields), request(user)])
    await process.notifications.notify([process.request(user, sender, profile.display_name)])
    last, bare, full, first = await items(process, user)
    assert [4, 3, 2, 1] == [last["seq"], bare["seq"], full["seq"], first["seq"]]
    assert ["ORDER_SHIPPED", "NEW_COMMENT"] == [full["type"], first["type"]]
    common = {"preview": "It is on its way", "read": False}
    person = {"id": sender, "display_name": "Trần Thị Bình", "avatar": None}
    for item, expected in [
        (full, {**common, "sender": person, **fields}),
        (bare, {**common, "sender": None, "url": None, "extra": None, "group_key": None}),
    ]:
        data = item["data"]
        assert isinstance(data, dict)
        assert expected == {
            name: value for name, value in data.items() if name not in ("notification_id", "created_at")
        }
    assert [first, full, bare, last] == [json.loads(event.json) for event in queued_notifications(connection)]


async def test_the_same_key_is_the_same_notification_of_a_user(
    process: ServiceProcess, start_process: StartProcess
) -> None:
    """On another process, too; without a key, each is a notification of its own."""
    user, other = await process.add_user(), await process.add_user()
    keyed = [request(user, key="shop:7", extra=EXTRA), request(other, key="shop:7", extra=EXTRA)]
    assert [None, None] == await process.notifications.notify(keyed)
    assert [None, None] == await start_process().notifications.notify(keyed)
    assert [None, None] == await process.notifications.notify([request(user), request(user)])
    assert [3, 2, 1] == [item["seq"] for item in await items(process, user)]
    assert [1] == [item["seq"] for item in await items(process, other)]


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "ORDER_LOST"},
        {"content": "Something else"},
        {"url": "/orders/8"},
        {"url": None},
        {"extra": {}},
        {"group_key": "x"},
    ],
    ids=lambda changed: next(iter(changed)) + repr(next(iter(changed.values()))),
)
async def test_a_key_with_another_content_is_refused(process: ServiceProcess, changed: dict[str, object]) -> None:
    user = await process.add_user()
    fields = {"key": "shop:7", "url": "/orders/7"}
    await process.notifications.notify([request(user, **fields)])
    [outcome] = await process.notifications.notify([request(user, **{**fields, **changed})])
    assert isinstance(outcome, NonceReused)
    assert 1 == len(await items(process, user))


async def test_an_edited_comment_keeps_its_notification(process: ServiceProcess) -> None:
    """What is dispatched again after a crash may have another content by then."""
    user, sender = await process.add_user(), await process.add_user()
    comment = new_id()
    for content in ("Hello", "Hello there"):
        again = process.request(user, sender, comment_id=comment, content=content)
        assert [None] == await process.notifications.notify([again])
    assert 1 == len(await items(process, user))


async def test_the_index_of_earlier_versions_is_replaced(mongo: Mongo, process: ServiceProcess) -> None:
    """It would take a user's second notification without a comment for the first one."""
    await mongo.database["notifications"].create_index([("comment_id", 1), ("user_id", 1)], unique=True)
    await process.store.create_indexes()
    user = await process.add_user()
    assert [None, None] == await process.notifications.notify([request(user), request(user)])
    assert 2 == len(await items(process, user))


async def test_the_last_number_is_stored_without_a_comment(
    mongo: Mongo, process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then: otherwise each process would read an inbox from its beginning."""
    monkeypatch.setattr(service, "HINT_DELAY", 0)
    await process.notifications.start()
    user = await process.add_user()
    await process.notifications.notify([request(user)] * service.HINT_STEP)
    async with asyncio.timeout(10):
        while not await mongo.database["inboxes"].find_one({"_id": ObjectId(user), "last_seq": {"$gt": 0}}):
            await asyncio.sleep(0.01)
    await process.notifications.close()


def test_the_data_say_which_kind_they_are() -> None:
    """`comment_id` is only in those of comments."""
    assert "comment_id" not in CustomNotification.model_fields
