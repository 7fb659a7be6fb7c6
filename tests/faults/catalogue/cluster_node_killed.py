"""A primary of a Redis Cluster of 3 + 3 is killed under traffic; its replica takes over, and it returns as one."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from service.datastores.redis import TAG
from service.realtime.addresses import Addresses
from tests.cluster import Cluster, Node, cluster, is_healthy, slots, wait_until
from tests.faults.catalogue.redis_away import wait_for_presence
from tests.faults.chat_client import ChatClient
from tests.faults.environment import FaultEnvironment
from tests.faults.traffic import message_traffic
from tests.faults.users import User
from tests.faults.workload import Workload

Groups = Sequence[tuple[str, Sequence[ChatClient]]]

QUICK = [{"clients": 12, "rounds": 1}]
SMALL = 4
"""Members of each small group. Their events go to the addresses of the members, and those of the large group to its own
address: together they use all nodes."""
PAUSE = 0.2
ACK_TIMEOUT = 15.0
"""Seconds that a message may take after a primary was killed. Messages are stored without Redis."""
RESET_TIMEOUT = 15.0
"""Seconds after the promotion until a client gets a `reset`."""


async def run(env: FaultEnvironment, *, clients: int = 24, rounds: int = 6, workers: int = 2) -> None:
    """Kill `rounds` primaries, one after the other. The first one is that of the messages to all processes."""
    nodes = await env.enter(cluster(env.directory / "cluster", replicas=3))
    await env.start_server(REDIS_URL=",".join(node.url for node in nodes.nodes[:3]), WEB_CONCURRENCY=str(workers))
    workload = await Workload.start(env, clients)
    sockets = workload.sockets
    small = [sockets[start : start + SMALL] for start in range(0, clients, SMALL)]
    groups = [(await env.create_group([client.user for client in members]), members) for members in small]
    arriving = await env.create_users(rounds)
    await env.create_group([sockets[0].user, *arriving])
    await sockets[0].watch_presence(arriving)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workload.traffic(PAUSE))
        for group, members in groups:
            await stack.enter_async_context(message_traffic(members, group, PAUSE))
        for number, user in enumerate(arriving):
            await asyncio.sleep(env.random.uniform(0.5, 1.5))
            await kill_one(env, nodes, groups, user, is_first=number == 0)
            await wait_for_presence(sockets[:1], user, True)
    for group, members in groups:
        await env.check_messages(group, members)
    await workload.verify()


async def kill_one(env: FaultEnvironment, nodes: Cluster, groups: Groups, arriving: User, *, is_first: bool) -> None:
    primaries = [node for node in nodes.nodes if await is_primary(node)]
    control = await nodes.owner(Addresses(TAG, 0).control.decode())
    killed = control if is_first else env.random.choice(primaries)
    resets, began = env.ledger.resets["bus_interrupted"], time.monotonic()
    await killed.kill()
    await env.connect_sockets([arriving])
    for group, members in groups:
        async with asyncio.timeout(ACK_TIMEOUT):
            await members[0].send(group, "after a primary was killed")
    env.ledger.note("a connection, and a message in each group, after", f"{time.monotonic() - began:.1f} s")
    await wait_until(lambda: is_replaced(nodes, killed))
    replaced = time.monotonic()
    await groups[0][1][0].changes.wait_until(
        lambda: env.ledger.resets["bus_interrupted"] > resets, "a reset", RESET_TIMEOUT
    )
    env.ledger.note(
        "the replica serves after", f"{replaced - began:.1f} s, a reset {time.monotonic() - replaced:.1f} s later"
    )
    await killed.start()
    await wait_until(lambda: follows(killed))


async def is_primary(node: Node) -> bool:
    return (await node.redis.info("replication"))["role"] == "master"


async def is_replaced(nodes: Cluster, lost: Node) -> bool:
    """Return whether all other nodes agree that `lost` serves nothing any more."""
    others = [node for node in nodes.nodes if node is not lost]
    served = [{primary[1] for _, _, primary, *_ in await slots(node)} for node in others]
    return all([await is_healthy(node) for node in others]) and not any(lost.port in ports for ports in served)


async def follows(node: Node) -> bool:
    """Return whether the node is a replica that has everything of its primary."""
    found = await node.redis.info("replication")
    return found["role"] == "slave" and found["master_link_status"] == "up"
