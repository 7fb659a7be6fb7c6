"""Heartbeats, counted: each process hears its own, through every node, and no others."""

import math
from collections.abc import Callable

from service.realtime.addresses import Addresses, user_address
from tests.cluster import Cluster, Node
from tests.scale.bus_process import BusProcess, until
from tests.scale.test_simulation import all_received

Make = Callable[[str], BusProcess]


async def test_a_process_hears_its_own_heartbeats_alone(server: Node, start: Make) -> None:
    """However many processes there are."""
    processes = [start(server.url) for _ in range(8)]
    for process in processes:
        await process.bus.start()
    for count, process in enumerate(processes):
        for _ in range(count):
            process.bus._heartbeats.send()
    # The first one was sent at the start.
    sent = list(range(1, 9))
    await until(lambda: sent <= [process.bus.heartbeats_received.total() for process in processes])
    await all_received(processes)
    assert sent == [process.bus.heartbeats_received.total() for process in processes]
    assert not any(process.bus.messages_received for process in processes)


async def test_heartbeats_go_through_each_node(nodes: Cluster, start: Make) -> None:
    """And a silent one renews the subscriptions of its node: those of others are not concerned."""
    process = start(nodes.nodes[0].url)
    await process.bus.start()
    beats = process.bus._heartbeats
    await until(lambda: beats.return_from_all)
    owners = {channel: await nodes.owner(channel.decode()) for channel in process.bus.heartbeats_received}
    assert len(nodes.nodes) == len(owners) == len(set(owners.values()))
    users = [f"user{number}" for number in range(30)]
    await process.connect(*users)
    channels = {user: Addresses("{loa}", 0).channel(user_address(user)).decode() for user in users}
    silent, node = next((channel, owner) for channel, owner in owners.items() if channel != beats._main)
    concerned = {user for user in users if await nodes.owner(channels[user]) is node}
    assert 0 < len(concerned) < len(users)
    beats._beats[silent].returned_at = beats._beats[silent].subscribed_at = -math.inf
    assert not beats.return_from_all
    assert beats.return_from_main
    beats.send()
    await until(lambda: all("reset" in process.types(user) for user in concerned))
    await until(lambda: beats.return_from_all)
    assert concerned == {user for user in users if "reset" in process.types(user)}
