"""Bans of users who sign in at another site."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from redis.asyncio import Redis

from service.common.errors import Banned
from service.datastores.mongo import Mongo
from service.moderation.audit_log import AuditLog
from service.moderation.ban_service import BanService
from service.pending_user_changes import PendingUserChanges
from service.push.subscription_store import SubscriptionStore
from service.stores import Stores
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.external_site import EARLIER, soon, verify


def bans_of(process: AccountsProcess, mongo: Mongo) -> BanService:
    stores = Stores.build(mongo.database)
    return BanService(
        stores.users,
        stores.external_ids,
        stores.sessions,
        process.revocation,
        SubscriptionStore(mongo.database),
        AuditLog(mongo.database),
        process.profiles,
    )


async def test_a_ban_refuses_every_token_of_the_site_until_it_is_lifted(
    site_process: AccountsProcess, other_site_process: AccountsProcess, mongo: Mongo
) -> None:
    """Those that were issued before and after it, with the same `sid` and with another, on every process."""
    bans = bans_of(site_process, mongo)
    caller = await verify(site_process, sid="laptop", iat=EARLIER)
    await verify(other_site_process, sid="laptop", iat=EARLIER)
    connection = site_process.connect(caller)
    await bans.ban("0" * 24, caller.user_id, None, "Spam")
    assert (1008, "token_revoked") == connection.closed
    for each in (site_process, other_site_process):
        for sid in ("laptop", "phone"):
            with pytest.raises(Banned):
                await verify(each, sid=sid, iat=soon())
    await bans.unban("0" * 24, caller.user_id)
    for each in (site_process, other_site_process):
        assert caller.user_id == (await verify(each, sid="laptop", iat=soon())).user_id


@pytest.mark.parametrize("claims", [{"iat": None}, {"iat": None, "sid": "laptop"}, {"iat": EARLIER, "sid": "laptop"}])
async def test_tokens_of_the_site_are_good_again_after_a_ban(
    site_process: AccountsProcess, other_site_process: AccountsProcess, mongo: Mongo, claims: dict[str, Any]
) -> None:
    """Nobody could tell whether one that does not say when it was issued is later than the ban."""
    bans = bans_of(site_process, mongo)
    caller = await verify(site_process, **claims)
    await bans.ban("0" * 24, caller.user_id, None, "Spam")
    for each in (site_process, other_site_process):
        with pytest.raises(Banned):
            await verify(each, **claims)
    await bans.unban("0" * 24, caller.user_id)
    for each in (site_process, other_site_process):
        assert caller.user_id == (await verify(each, **claims)).user_id


async def test_a_ban_that_was_interrupted_is_completed(
    site_process: AccountsProcess, mongo: Mongo, redis: "Redis"
) -> None:
    """By the process that looks for it: the tokens from before the ban end, and nothing is left to do."""
    bans, users = bans_of(site_process, mongo), Stores.build(mongo.database).users
    caller = await verify(site_process, iat=EARLIER)
    connection = site_process.connect(caller)
    subscriptions = mongo.database["push_subscriptions"]
    await subscriptions.insert_one({"user_id": ObjectId(caller.user_id)})
    await users.set_ban(caller.user_id, None)
    assert [caller.user_id] == await users.being_banned(10)

    async def delete(username: str) -> None:
        raise AssertionError(username)

    pending = PendingUserChanges(users, delete, bans.complete, redis, "tests")
    await pending.start()
    async with asyncio.timeout(10):
        while await users.being_banned(10):
            await asyncio.sleep(0.01)
    await pending.close()
    assert (1008, "token_revoked") == connection.closed
    assert 0 == await subscriptions.count_documents({})
    with pytest.raises(Banned):
        await verify(site_process, iat=EARLIER)
