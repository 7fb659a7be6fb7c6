"""What a revocation costs, counted: nothing in the processes where its user has no connection."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from service.common.identity import Identity
from service.common.ids import new_id
from service.datastores import redis_link
from service.datastores.mongo import Mongo
from service.realtime import redis_bus
from service.realtime.addresses import Addresses, user_address
from tests.accounts.accounts_process import AccountsProcess, RecordingConnection, build_process, token_pair
from tests.cluster import Node
from tests.scale.bus_process import BusProcess, until
from tests.scale.test_simulation import all_received

REVOKED = (1008, "token_revoked")


class Process(BusProcess):
    """With the services of accounts."""

    accounts: AccountsProcess

    async def sign_in(self, user_id: str) -> tuple[Identity, RecordingConnection]:
        """Return a new session of the user, and a connection of it to this process."""
        caller = Identity(user_id, new_id(), new_id(), time.time() + 60)
        await self.accounts.sessions.add(caller.session_id, user_id, token_pair(caller.token_id), "")
        connection = self.accounts.connect(caller)
        await self.dispatcher.subscriptions.wait(user_id)
        return caller, connection


@pytest.fixture
async def start(server: Node, mongo: Mongo) -> AsyncIterator[Callable[[], Awaitable[Process]]]:
    """Start processes that have polled once, and poll again when a test says so."""
    started: list[Process] = []

    async def make() -> Process:
        process = Process(server.url)
        started.append(process)
        process.accounts = build_process(mongo, server.redis, bus=process.bus, registry=process.registry)
        process.dispatcher.subscriptions.on_doubt(process.accounts.revocation.poll_soon)
        await process.bus.start()
        await process.accounts.revocation.poll()
        return process

    yield make
    for process in started:
        await process.close()
        await process.accounts.passwords.close()


Start = Callable[[], Awaitable[Process]]


async def test_a_process_without_the_user_hears_nothing_of_a_revocation(start: Start) -> None:
    """Neither when it is announced nor when the holder of the lease finds it. That a poll has ended is told to all, in
    as many bytes for no session as for a hundred."""
    revoking, concerned, foreign = await start(), await start(), await start()
    ended = [await concerned.sign_in(new_id()) for _ in range(100)]
    _, other = await foreign.sign_in(new_id())
    await revoking.accounts.revocation.poll_for_all()
    await all_received([revoking, concerned, foreign])
    before = foreign.bus.bytes_received.copy()
    for caller, _ in ended:
        await revoking.accounts.accounts.logout(caller)
    await until(lambda: all(connection.closed == REVOKED for _, connection in ended))
    await all_received([revoking, concerned, foreign])
    last = foreign.bus.bytes_received - before
    received = concerned.bus.messages_received
    await revoking.accounts.revocation.poll_for_all()
    await until(lambda: concerned.bus.messages_received == received + 100)
    await all_received([revoking, concerned, foreign])
    polled = foreign.bus.bytes_received - before - last
    assert {"all"} == set(last) == set(polled)
    # A poll without anything found, and the message after each step.
    assert polled["all"] - last["all"] <= before["all"]
    assert 0 == foreign.bus.messages_received
    assert other.closed is None
    await revoking.accounts.revocation.poll_for_all()
    await all_received([revoking, concerned, foreign])
    assert concerned.bus.messages_received == received + 100


@pytest.mark.parametrize("lost", ["announcement", "announcement and result of the poll"])
async def test_a_lost_revocation_is_found(
    start: Start, server: Node, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """The result of the next poll shows that the announcement is missing. If that is lost, too, the comparison of the
    numbers shows it, and the process polls itself."""
    if lost == "announcement and result of the poll":
        monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
        monkeypatch.setattr(redis_bus, "COMPARE_INTERVAL", 0.1)
    revoking, concerned = await start(), await start()
    # It polls for no other reason than a doubt.
    concerned.accounts.revocation._poll_due = time.monotonic() + 1000
    await concerned.accounts.revocation.start()
    caller, connection = await concerned.sign_in(new_id())
    key = Addresses("{loa}", 0).channel(user_address(caller.user_id)).decode() + ":count"
    await until(lambda: concerned.bus.receives_all)
    await revoking.accounts.sessions.revoke(caller.session_id, caller.user_id)
    await server.redis.incr(key)
    if lost == "announcement":
        assert connection.closed is None
        await revoking.accounts.revocation.poll_for_all()
    await until(lambda: connection.closed == REVOKED)
    await concerned.accounts.revocation.close()
