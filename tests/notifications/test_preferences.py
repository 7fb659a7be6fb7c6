"""Preferences: what is stored, and how processes learn of a change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from service.common.ids import new_id
from service.datastores.mongo import Database
from service.notifications.models import CustomRequest
from service.notifications.preference_service import PreferenceService
from service.notifications.preference_store import PreferenceStore
from service.notifications.preferences import DEFAULTS, KindPreference, Preferences, PreferencesChange
from service.realtime.dispatcher import Dispatcher
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.conftest import Datastores
from tests.notifications.service_process import ServiceProcess, queued_notifications
from tests.proxy import Proxy
from tests.recorded_commands import recording


def unwanted(*types: str) -> PreferencesChange:
    return PreferencesChange(kinds=dict.fromkeys(types, KindPreference(in_app=False, push=True)))


async def test_a_kind_that_is_not_wanted_in_the_app_is_not_stored(process: ServiceProcess) -> None:
    """It takes no number and is not counted; others of the same request are stored in order."""
    user, other, sender = [await process.add_user() for _ in range(3)]
    await process.preferences.change(user, unwanted("NEW_REPLY", "ORDER_SHIPPED"))
    connection = process.connect(user)
    requests = [
        process.request(user, sender, type="NEW_REPLY"),
        process.request(user, sender, type="NEW_COMMENT"),
        process.request(other, sender, type="NEW_REPLY"),
        CustomRequest("ORDER_SHIPPED", user, None, "It is on its way"),
        CustomRequest("ORDER_PAID", user, None, "Thank you"),
        CustomRequest("ORDER_SHIPPED", other, None, "It is on its way"),
    ]
    assert [None] * 6 == await process.notifications.notify(requests)
    assert ["NEW_COMMENT", "ORDER_PAID"] == [event.type for event in queued_notifications(connection)]
    pages = [await process.notifications.page(each, limit=9, before=None, unread=False) for each in (user, other)]
    assert [["ORDER_PAID", "NEW_COMMENT"], ["ORDER_SHIPPED", "NEW_REPLY"]] == [
        [item.type for item in page.items] for page in pages
    ]
    assert [2, 2] == [await process.notifications.unread_count(each) for each in (user, other)]
    await process.preferences.change(user, PreferencesChange(kinds={}))
    await process.notifications.notify(requests[:1])
    assert 3 == await process.notifications.unread_count(user)


async def test_a_refusal_of_one_request_is_not_taken_for_one_of_another(process: ServiceProcess) -> None:
    """The outcomes are those of the requests, also of those that are not stored."""
    user, other = await process.add_user(), await process.add_user()
    await process.preferences.change(user, unwanted("ORDER_SHIPPED"))
    first = CustomRequest("ORDER_SHIPPED", other, None, "One", key="k:1")
    assert [None] == await process.notifications.notify([first])
    again = [first._replace(user_id=user), first._replace(content="Another"), first]
    assert [False, True, False] == [error is not None for error in await process.notifications.notify(again)]


async def test_two_devices_that_change_different_fields_keep_both(process: ServiceProcess) -> None:
    user = await process.add_user()
    push = PreferencesChange.model_validate({"push": {"messages": "none", "preview": False}})
    await asyncio.gather(
        process.preferences.change(user, push), process.preferences.change(user, unwanted("NEW_COMMENT"))
    )
    preferences = await process.preferences.preferences(user)
    assert ("none", False) == (preferences.push.messages, preferences.kind("NEW_COMMENT").in_app)
    assert preferences == (await process.preferences.of_users([user]))[user]


@asynccontextmanager
async def services(database: Database, *buses: RedisBus) -> AsyncIterator[list[PreferenceService]]:
    """Those of processes that are connected by these buses."""
    found = [
        PreferenceService(PreferenceStore(database), bus, Dispatcher(bus, Registry(TimerWheel()))) for bus in buses
    ]
    for bus in buses:
        await bus.start()
    try:
        yield found
    finally:
        for bus in buses:
            await bus.close()


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_users_are_looked_up_together_and_once(datastores: Datastores) -> None:
    """And again after a change, also by another process, or after an interruption of the bus."""
    users = {new_id() for _ in range(60)}
    async with (
        Proxy(datastores.redis_url) as proxy,
        recording(datastores) as (mongo, commands),
        services(mongo.database, RedisBus(proxy.url), RedisBus(datastores.redis_url)) as (process, other),
    ):

        async def reads_none() -> bool:
            commands.recorded.clear()
            await process.of_users(users)
            return not commands.recorded

        await wait_until(reads_none)
        one = next(iter(users))
        changed = await other.change(one, unwanted("NEW_REPLY"))

        async def knows(expected: Preferences) -> bool:
            return dict.fromkeys(users, DEFAULTS) | {one: expected} == await process.of_users(users)

        commands.recorded.clear()
        await wait_until(partial(knows, changed))
        assert ["find notification_preferences"] == commands.recorded
        proxy.cut()
        await wait_until(partial(knows, await other.change(one, unwanted("NEW_COMMENT"))))
        changed = await other.change(one, unwanted("NEW_MENTION"))
        await proxy.restore()
        await wait_until(reads_none)
        assert await knows(changed)
