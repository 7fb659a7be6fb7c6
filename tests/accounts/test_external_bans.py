"""Bans of users who sign in at another site."""

import pytest

from service.common.errors import Banned
from service.datastores.mongo import Mongo
from service.moderation.audit_log import AuditLog
from service.moderation.ban_service import BanService
from service.push.subscription_store import SubscriptionStore
from service.stores import Stores
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.external_site import EARLIER, soon, verify


async def test_a_ban_refuses_every_token_of_the_site_until_it_is_lifted(
    site_process: AccountsProcess, other_site_process: AccountsProcess, mongo: Mongo
) -> None:
    """Those that were issued before and after it, with the same `sid` and with another, on every process."""
    stores = Stores.build(mongo.database)
    bans = BanService(
        stores.users,
        stores.external_ids,
        stores.sessions,
        site_process.revocation,
        SubscriptionStore(mongo.database),
        AuditLog(mongo.database),
    )
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
