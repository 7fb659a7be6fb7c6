"""Events of conversations with more than 16 members: one command, to the processes that have members."""

from collections.abc import Callable, Sequence

import pytest

from service.datastores import redis_link
from service.realtime import redis_bus, user_subscriptions
from service.realtime.addresses import Addresses, room_address
from service.realtime.event import Event
from tests.cluster import Cluster, Node
from tests.scale.bus_process import BusProcess, message, until
from tests.scale.test_routing import calls

Make = Callable[[str], BusProcess]
TOPIC = "c:1"
ROOM = room_address(TOPIC)


def members(count: int) -> list[str]:
    return [f"user{number}" for number in range(count)]


class Stored:
    """The events of TOPIC in the database."""

    def __init__(self, recipients: Sequence[str]) -> None:
        self.recipients = list(recipients)
        self.last = 0
        self.reads = 0

    def serve(self, *processes: BusProcess) -> None:
        for process in processes:
            process.dispatcher.set_backfill("c:", self.backfill, self.latest)

    async def backfill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        self.reads += 1
        return [(message(topic, sequence), self.recipients) for sequence in range(after + 1, self.last + 1)]

    async def latest(self, topic: str) -> int:
        return self.last


@pytest.mark.parametrize("count", [17, 1000])
async def test_an_event_of_more_than_sixteen_members_is_one_command(server: Node, start: Make, count: int) -> None:
    """It reaches the processes with members in the room, and no other receives a byte."""
    one, two, three = (start(server.url) for _ in range(3))
    for process in (one, two, three):
        await process.bus.start()
    await two.connect("user0", "user1")
    await three.connect("stranger")
    for user in ("user0", "user1"):
        two.dispatcher.join_room(TOPIC, 0, user)
    await until(lambda: two.bus.is_subscribed(ROOM))
    before, received = await calls(server.redis, "eval"), three.bus.bytes_received.total()
    one.publish(TOPIC, [1], members(count), room=True)
    await until(lambda: [1] == two.sequences("user0") == two.sequences("user1"))
    assert 1 == await calls(server.redis, "eval") - before
    assert received == three.bus.bytes_received.total()


async def test_what_is_published_while_a_room_is_not_heard_yet_is_read(nodes: Cluster, start: Make) -> None:
    """From the position of the hello on. Redis knows what was published meanwhile."""
    one, two = start(nodes.nodes[0].url), start(nodes.nodes[1].url)
    stored = Stored(members(20))
    stored.serve(one, two)
    await one.bus.start()
    await two.bus.start()
    await two.connect("user0")
    for stored.last in (1, 2, 3):
        one.publish(TOPIC, [stored.last], members(20), room=True)
    await one.sent()
    two.dispatcher.join_room(TOPIC, 1, "user0")
    await until(lambda: [2, 3] == two.sequences("user0"))
    stored.last = 4
    one.publish(TOPIC, [4], members(20), room=True)
    await until(lambda: [2, 3, 4] == two.sequences("user0"))
    assert 1 == stored.reads


async def test_members_join_the_room_with_the_announcement(server: Node, start: Make) -> None:
    """Of a conversation that has grown; the users whom the event names, and no others of the process."""
    one, two = start(server.url), start(server.url)
    stored = Stored(members(17))
    stored.serve(one, two)
    await one.bus.start()
    await two.bus.start()
    await two.connect("user0", "user16", "stranger")
    one.publish(TOPIC, [1], members(16), room=True)
    await until(lambda: [1] == two.sequences("user0"))
    stored.last = 2
    for user in ("user0", "user16"):
        updated = Event("conversation_updated", {}, channel="chat", topic=TOPIC, version=2)
        one.dispatcher.publish(updated, [user], position=1, room=True)
    one.publish(TOPIC, [2], members(17), room=True)
    await until(lambda: [1, 2] == two.sequences("user0") and [2] == two.sequences("user16"))
    assert two.bus.is_subscribed(ROOM)
    assert {"user0", "user16"} == set(two.dispatcher._rooms.users(TOPIC))


async def test_a_room_without_users_is_no_longer_heard(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_subscriptions, "UNSUBSCRIBE_DELAY", 0.01)
    one, two = start(server.url), start(server.url)
    await one.bus.start()
    await two.bus.start()
    await two.connect("user0", "user1")
    for user in ("user0", "user1"):
        two.dispatcher.join_room(TOPIC, 0, user)
    await until(lambda: two.bus.is_subscribed(ROOM))
    two.disconnect("user0")
    await until(lambda: ["user1"] == list(two.dispatcher._rooms.users(TOPIC)))
    one.publish(TOPIC, [1], members(17), room=True)
    await until(lambda: [1] == two.sequences("user1"))
    two.disconnect("user1")
    await until(lambda: not two.bus.is_subscribed(ROOM))
    assert [(Addresses("{loa}", 0).channel(ROOM), 0)] == await server.redis.pubsub_numsub(
        Addresses("{loa}", 0).channel(ROOM)
    )


async def test_a_lost_last_event_of_a_room_is_read_within_one_comparison(
    server: Node, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is reset: the database has it."""
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
    monkeypatch.setattr(redis_bus, "COMPARE_INTERVAL", 0.1)
    one, two = start(server.url), start(server.url)
    stored = Stored(members(20))
    stored.serve(one, two)
    await one.bus.start()
    await two.bus.start()
    await two.connect("user0")
    two.dispatcher.join_room(TOPIC, 0, "user0")
    await until(lambda: two.bus.is_subscribed(ROOM))
    stored.last = 1
    one.publish(TOPIC, [1], members(20), room=True)
    await until(lambda: [1] == two.sequences("user0"))
    stored.last = 2
    await server.redis.incr(Addresses("{loa}", 0).channel(ROOM) + b":count")
    await until(lambda: [1, 2] == two.sequences("user0"))
    assert ["new_message"] * 2 == two.types("user0")
