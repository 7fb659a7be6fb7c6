"""Workers are killed, and Redis is killed, stopped and cut, while users write in groups of over 100, join and leave."""

import asyncio
import os
import signal
from collections.abc import Sequence

from bson import ObjectId

from service.chat.group_change import PENDING_MESSAGES
from service.chat.large_groups import CHANGE, MAX_EMBEDDED
from service.datastores.mongo import Document, Mongo
from tests.faults.catalogue.crash_points import wait_until_replaced
from tests.faults.chat_client import ChatClient
from tests.faults.delivery_checks import SETTLE_TIMEOUT, stored_messages
from tests.faults.environment import FaultEnvironment
from tests.faults.group_visits import NOTICE_TIMEOUT, Group, Visitor
from tests.faults.outage import outage
from tests.faults.traffic import message_traffic, running
from tests.faults.visiting_client import VisitingClient
from tests.proxy import Proxy

QUICK: list[dict[str, object]] = []
REDIS_OUTAGES = ("killed", "stopped", "reset")
WRITERS = 3
PAUSE = 0.2
RESTING_TIMEOUT = 30.0
"""Seconds until no change is incomplete any more: what a killed process has left is looked for every ten seconds."""


async def run(
    env: FaultEnvironment,
    *,
    members: int = 300,
    visitors: int = 12,
    rounds: int = 3,
    workers: int = 2,
    seconds: float = 2.0,
) -> None:
    """`visitors` visit two groups: one of `members`, and one that becomes a large one when the first of them joins.
    Each fault happens `rounds` times; Redis is away for `seconds`."""
    proxy = await env.enter(Proxy(env.datastores.redis_url))
    server = await env.start_server(REDIS_URL=proxy.url, WEB_CONCURRENCY=str(workers))
    residents = await env.create_users(members)
    groups = [Group(await env.create_group(users), users) for users in (residents, residents[:MAX_EMBEDDED])]
    clients = [VisitingClient(user, env.api, env.random) for user in await env.create_users(visitors)]
    visiting = [Visitor(env, client, groups) for client in clients]
    await env.record_baseline()
    sockets = await env.connect_sockets(residents[: WRITERS + 1])
    note_last_seqs(sockets[0], groups)
    await env.start_clients(clients)
    stop = asyncio.Event()
    async with (
        message_traffic(sockets[1:], groups[0].id, PAUSE),
        message_traffic(sockets[1:], groups[1].id, PAUSE),
        running([visitor.run(stop) for visitor in visiting], stop, 4 * NOTICE_TIMEOUT),
    ):
        faults = ["worker killed", *REDIS_OUTAGES] * rounds
        for fault in env.random.sample(faults, len(faults)):
            await asyncio.sleep(env.random.uniform(0.5, 1) * seconds)
            if fault in REDIS_OUTAGES:
                async with outage(env, "redis", fault, proxy):
                    await asyncio.sleep(seconds)
            else:
                before = server.workers
                os.kill(env.random.choice(before), signal.SIGKILL)
                await asyncio.to_thread(wait_until_replaced, server, before)
    for group in groups:
        await check_group(env, group, sockets, visiting)
    # A new connection shows the conversations of its user.
    for visitor, client in zip(visiting, await env.connect_sockets([each.user for each in clients]), strict=True):
        assert visitor.client.joined == client.replicas.keys()
    visits = [visit for visitor in visiting for each in visitor.visits.values() for visit in each]
    env.ledger.note("visits", f"{len(visits)}, of which {sum(not visit.end for visit in visits)} have not ended")
    await env.verify()


def note_last_seqs(client: ChatClient, groups: Sequence[Group]) -> None:
    by_id = {group.id: group for group in groups}

    def note(message: Document) -> None:
        group = by_id[message["conversation_id"]]
        group.last_seq = max(group.last_seq, message["seq"])

    client.on_message = note


async def check_group(
    env: FaultEnvironment, group: Group, sockets: Sequence[ChatClient], visiting: Sequence[Visitor]
) -> None:
    """Assert that everybody agrees about who is in the group, and that each of them has what they may see."""
    staying = [visitor for visitor in visiting if group.id in visitor.client.joined]
    members = sorted([*(user.id for user in group.residents), *(visitor.client.user.id for visitor in staying)])
    assert members == await stored_members(env, group)
    for client in sockets:
        # With new connections, which may reach another worker.
        await env.api.close_idle_connections()
        shown = await env.api.call("GET", f"/conversations/{group.id}", client.user)
        pages = env.api.paginate(f"/conversations/{group.id}/participants", "after", client.user, limit=100)
        listed = sorted([item["user"]["id"] async for item in pages])
        assert (len(members), members) == (shown["participant_count"], listed)
        # Each worker sends the last messages to the members that it knows of.
        await client.send(group.id, "the last")
    await env.check_messages(group.id, sockets)
    stored = await stored_messages(env.api, group.id, group.residents[0])
    for visitor in staying:
        await visitor.client.changes.wait_until(
            lambda client=visitor.client: client.rev(group.id) >= len(stored), "all", SETTLE_TIMEOUT
        )
    for visitor in visiting:
        env.ledger.violations += visitor.problems(group, stored)


async def stored_members(env: FaultEnvironment, group: Group) -> list[str]:
    """Wait until no change of the group is incomplete; return the members that the database has."""
    mongo, key = Mongo(env.datastores.mongodb_uri), ObjectId(group.id)
    try:
        async with asyncio.timeout(RESTING_TIMEOUT):
            while True:
                document = await mongo.database["conversations"].find_one({"_id": key})
                assert document
                if CHANGE not in document and not document.get(PENDING_MESSAGES):
                    break
                # Some process completes it by itself, of which nothing tells.
                await asyncio.sleep(0.2)
        found = await mongo.database["memberships"].find({"conversation_id": key}).to_list(None)
    finally:
        mongo.close()
    members = sorted((each for each in found if "place" in each), key=lambda each: int(each["place"]))
    assert len(members) == document["participant_count"] == len({each["place"] for each in members})
    assert [each["user_id"] for each in members[:MAX_EMBEDDED]] == document["first_participants"]
    return sorted(str(each["user_id"]) for each in members)
