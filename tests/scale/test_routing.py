"""What an event costs, counted: in the processes that it does not concern, and in Redis."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from service.datastores import redis_link
from service.realtime import redis_bus, user_subscriptions
from service.realtime.addresses import TAGS, Addresses, user_address
from service.realtime.event import Event
from tests.cluster import Cluster, Node
from tests.scale.bus_process import BusProcess, message, until

Make = Callable[[str], BusProcess]


async def calls(redis: Redis, command: str) -> int:
    stats: dict[str, Any] = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_six_of_eight_processes_receive_nothing_of_the_events_of_two_users(server: Node, start: Make) -> None:
    """A thousand events between users of two processes, each of which has other users, too."""
    processes = [start(server.url) for _ in range(8)]
    for number, process in enumerate(processes):
        await process.bus.start()
        await process.connect(f"user{number}", f"other{number}")
    before = [process.bus.bytes_received.total() for process in processes]
    processes[0].publish("c:1", range(1, 1001), ["user0", "user1"])
    await until(lambda: 1000 == len(processes[1].sequences("user1")))
    assert list(range(1, 1001)) == processes[0].sequences("user0") == processes[1].sequences("user1")
    received = [process.bus.bytes_received.total() - first for process, first in zip(processes, before, strict=True)]
    assert [0] * 6 == received[2:]
    assert not processes[1].sequences("other1")


@pytest.mark.parametrize("members", [1, 2, 16])
async def test_an_event_is_one_command_for_up_to_sixteen_members(server: Node, start: Make, members: int) -> None:
    """Wherever they are connected; and so are the events of one moment together."""
    one, two = start(server.url), start(server.url)
    users = [f"user{number}" for number in range(members)]
    await one.bus.start()
    await two.bus.start()
    await two.connect(*users)
    for count, sequences in enumerate(([1], range(2, 102)), 1):
        one.publish("c:1", sequences, users)
        await until(lambda: all(two.sequences(user)[-1:] == [max(sequences)] for user in users))  # noqa: B023
        assert count == await calls(server.redis, "eval") - 2


async def test_an_event_for_several_users_of_a_process_is_handled_once(server: Node, start: Make) -> None:
    """Also one without a sequence number, although it arrives at each address."""
    one, two = start(server.url), start(server.url)
    await one.bus.start()
    await two.bus.start()
    await two.connect("ada", "bob")
    one.dispatcher.publish(Event("typing", {}, channel="chat", topic="c:1"), ["ada", "bob"])
    one.publish("c:1", [1], ["ada", "bob"])
    await until(lambda: [1] == two.sequences("ada"))
    await until(lambda: 2 == sum(two.bus.bytes_received[user_address(user)] > 0 for user in ("ada", "bob")))
    assert ["typing", "new_message"] == two.types("ada") == two.types("bob")


async def test_a_thousand_connects_in_one_turn_are_at_most_one_command_for_each_tag(
    nodes: Cluster, start: Make
) -> None:
    """If all return within half a minute: none."""
    process = start(nodes.nodes[0].url)
    await process.bus.start()
    users = [f"user{number}" for number in range(1000)]
    before = await cluster_calls(nodes, "ssubscribe")
    await process.connect(*users)
    assert all(process.bus.is_subscribed(user_address(user)) for user in users)
    subscribed = await cluster_calls(nodes, "ssubscribe") - before
    assert 0 < subscribed <= TAGS
    process.disconnect(*users)
    await process.connect(*users)
    assert (subscribed, 0) == (
        await cluster_calls(nodes, "ssubscribe") - before,
        await cluster_calls(nodes, "sunsubscribe"),
    )


async def test_a_user_who_has_gone_is_no_longer_heard_after_a_while(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_subscriptions, "UNSUBSCRIBE_DELAY", 0.01)
    process, publisher = start(server.url), start(server.url)
    await process.bus.start()
    await publisher.bus.start()
    await process.connect("ada", "bob")
    process.disconnect("ada")
    await until(lambda: not process.bus.is_subscribed(user_address("ada")))
    publisher.publish("c:1", [1], ["ada", "bob"])
    await until(lambda: [1] == process.sequences("bob"))
    assert not process.bus.bytes_received[user_address("ada")]


async def cluster_calls(nodes: Cluster, command: str) -> int:
    return sum([await calls(node.redis, command) for node in nodes.nodes])


async def test_a_lost_node_concerns_the_users_whose_addresses_were_there(nodes: Cluster, start: Make) -> None:
    """And nobody else, if it is not the one with the messages to all."""
    process = start(nodes.nodes[0].url)
    await process.bus.start()
    users = [f"user{number}" for number in range(60)]
    await process.connect(*users)
    for node in nodes.nodes:
        await node.redis.config_set("cluster-require-full-coverage", "no")
    addresses = Addresses("{loa}", 0)
    owners = {user: await nodes.owner(addresses.channel(user_address(user)).decode()) for user in users}
    control = await nodes.owner(addresses.control.decode())
    lost = next(node for node in nodes.nodes if node is not control)
    concerned = {user for user, owner in owners.items() if owner is lost}
    assert 0 < len(concerned) < len(users)
    await lost.kill()
    await until(lambda: not any(process.bus.is_subscribed(user_address(user)) for user in concerned))
    await lost.start()
    await until(lambda: all("reset" in process.types(user) for user in concerned))
    assert concerned == {user for user in users if "reset" in process.types(user)}
    assert all(1 == process.types(user).count("reset") for user in concerned)


async def test_the_loss_of_a_last_publication_is_noticed_within_one_comparison(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user concerned gets a `reset`, and nobody else."""
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
    monkeypatch.setattr(redis_bus, "COMPARE_INTERVAL", 0.1)
    one, two = start(server.url), start(server.url)
    await one.bus.start()
    await two.bus.start()
    await two.connect("ada", "bob")
    one.publish("c:1", [1], ["ada", "bob"])
    await until(lambda: [1] == two.sequences("ada") == two.sequences("bob"))
    await server.redis.incr(Addresses("{loa}", 0).channel(user_address("ada")) + b":count")
    await until(lambda: "reset" in two.types("ada"))
    await asyncio.sleep(0.5)
    assert (1, 0) == (two.types("ada").count("reset"), two.types("bob").count("reset"))


async def test_a_process_knows_what_was_published_to_a_user_who_is_not_connected_to_it(
    nodes: Cluster, start: Make
) -> None:
    """The highest number, in whatever order they were published."""
    one, two = start(nodes.nodes[0].url), start(nodes.nodes[1].url)
    await one.bus.start()
    await two.bus.start()
    for sequence in (1, 3, 2):
        one.publish("c:1", [sequence], ["ada", "bob"])
        await one.sent()
    assert {"c:1": 3, "c:2": 0} == await two.dispatcher.positions({"bob": ["c:1", "c:2"]})
    assert {"c:1": 0} == await two.dispatcher.positions({"cay": ["c:1"]})
    assert not two.bus.bytes_received.keys() - {"all"}


async def test_what_passed_while_no_recipient_was_connected_is_no_gap(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user who returns reads it with the database; nothing is read because of the next event, and nobody reset."""
    monkeypatch.setattr(user_subscriptions, "UNSUBSCRIBE_DELAY", 0.01)
    one, two = start(server.url), start(server.url)
    await one.bus.start()
    await two.bus.start()
    await two.connect("ada", "dan")
    one.publish("c:1", [1], ["ada", "bob"])
    await until(lambda: [1] == two.sequences("ada"))
    two.disconnect("ada")
    await until(lambda: not two.bus.is_subscribed(user_address("ada")))
    one.publish("c:1", range(2, 5000), ["ada", "bob"])
    await one.sent()
    await two.connect("ada")
    two.dispatcher.set_position("c:1", 4999, ["ada"])
    one.publish("c:1", [5000], ["ada", "bob"])
    await until(lambda: [5000] == two.sequences("ada"))
    assert not two.dispatcher.gap_tasks
    assert ["new_message"] == two.types("ada")
    assert [] == two.types("dan")


async def test_a_topic_stays_known_while_one_of_its_users_is_connected(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap is noticed after the user with whom it became known has gone, as long as another one has joined."""
    monkeypatch.setattr(user_subscriptions, "UNSUBSCRIBE_DELAY", 0.01)
    process = start(server.url)
    await process.bus.start()
    stored = [message("c:1", sequence) for sequence in range(1, 10)]

    async def backfill(topic: str, after: int) -> list[tuple[Event, list[str]]]:
        return [(event, ["ada", "bob"]) for event in stored if event.sequence > after]

    process.dispatcher.set_backfill("c:", backfill)
    await process.connect("ada")
    process.dispatcher.set_position("c:1", 6, ["ada"])
    await process.connect("bob")
    process.dispatcher.set_position("c:1", 6, ["bob"])
    process.disconnect("ada")
    await until(lambda: not process.bus.is_subscribed(user_address("ada")))
    process.publish("c:1", [9], ["ada", "bob"])
    await until(lambda: [7, 8, 9] == process.sequences("bob"))
