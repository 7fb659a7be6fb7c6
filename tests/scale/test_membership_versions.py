"""Events of rooms name the version of the membership that they are for, and no ids."""

import asyncio
import random
from collections.abc import Callable

import pytest

from service.realtime.addresses import room_address
from service.realtime.event import Event
from tests.cluster import Node
from tests.scale.bus_process import BusProcess, message, until
from tests.scale.test_rooms import ROOM, TOPIC, members

Make = Callable[[str], BusProcess]


class Group:
    """A conversation as the database has it: its last event, and the members, of whom there is one set a version."""

    def __init__(self, *versions: list[str]) -> None:
        self.versions = list(versions)
        self.version = 1
        self.last = 0
        self.reads = 0

    @property
    def members(self) -> list[str]:
        return self.versions[self.version - 1]

    def publish(self, process: BusProcess, sequence: int) -> None:
        """Publish an event of the present version, which is stored."""
        self.last = max(self.last, sequence)
        process.dispatcher.publish(message(TOPIC, sequence), self.members, room=True, version=self.version)

    async def join(self, process: BusProcess, *user_ids: str) -> None:
        """Connect members."""

        async def backfill(topic: str, after: int) -> list[tuple[Event, list[str]]]:
            self.reads += 1
            found = [message(topic, sequence) for sequence in range(after + 1, self.last + 1)]
            await asyncio.sleep(0)
            process.dispatcher.remember_members(topic, self.version, self.members)
            return [(event, self.members) for event in found]

        async def latest(topic: str) -> int:
            return self.last

        process.dispatcher.set_backfill("c:", backfill, latest)
        await process.bus.start()
        await process.connect(*user_ids)
        for user_id in user_ids:
            process.dispatcher.join_room(TOPIC, self.last, user_id)
        await until(lambda: not user_ids or process.bus.is_subscribed(ROOM))


async def test_the_bytes_of_an_event_do_not_depend_on_the_members(server: Node, start: Make) -> None:
    """And only the first event of a version is read, in each process."""
    sizes: dict[int, int] = {}
    for count in (17, 1000):
        one, two = start(server.url), start(server.url)
        group = Group(members(count))
        await group.join(one, "user0")
        await group.join(two, "user1", "user2")
        group.publish(one, 1)
        await until(lambda: [1] == two.sequences("user1"))  # noqa: B023
        before = two.bus.bytes_received[room_address(TOPIC)]
        for sequence in range(2, 12):
            group.publish(one, sequence)
            await until(lambda: sequence == two.sequences("user1")[-1])  # noqa: B023
        sizes[count] = two.bus.bytes_received[room_address(TOPIC)] - before
        for process, user in ((one, "user0"), (two, "user1"), (two, "user2")):
            assert list(range(1, 12)) == process.sequences(user)
        assert 1 == group.reads
        await one.close()
        await two.close()
        await server.redis.flushall()
    # The clock in each publication may have a digit more or less.
    assert abs(sizes[17] - sizes[1000]) < 60
    assert sizes[1000] < 10 * 600


async def test_the_members_are_read_again_after_a_change(server: Node, start: Make) -> None:
    """Who was added gets the events from then on, and who was removed none of them."""
    one, two = start(server.url), start(server.url)
    group = Group([*members(18), "old"], [*members(18), "new"])
    await group.join(one)
    await group.join(two, "user0", "old", "new")
    group.publish(one, 1)
    await until(lambda: [1] == two.sequences("user0") == two.sequences("old"))
    group.version = 2
    for sequence in (2, 3, 4):
        group.publish(one, sequence)
    await until(lambda: [1, 2, 3, 4] == two.sequences("user0"))
    assert [[1], [2, 3, 4]] == [two.sequences("old"), two.sequences("new")]
    assert 2 == group.reads


@pytest.mark.parametrize("seed", range(6))
async def test_who_is_removed_gets_nothing_afterwards(server: Node, start: Make, seed: int) -> None:
    """Messages come from four processes, in any order, before and after the removal; those who stay get all of them."""
    chance = random.Random(seed)
    processes = [start(server.url) for _ in range(4)]
    group = Group([*members(18), "removed"], members(18))
    for number, process in enumerate(processes):
        await group.join(process, f"user{number}", "removed")
    sequences = list(range(1, 41))
    removed_at = chance.randrange(1, 40)
    publications = []
    for sequence in sequences:
        publications.append((chance.choice(processes), sequence, 1 if sequence <= removed_at else 2))
    # Each is on its way for a while, so some overtake others.
    publications.sort(key=lambda each: each[1] + chance.uniform(0, 6))
    for process, sequence, version in publications:
        group.version = max(group.version, version)
        group.last = max(group.last, sequence)
        recipients = group.versions[version - 1]
        process.dispatcher.publish(message(TOPIC, sequence), recipients, room=True, version=version)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0, 0.01))
    for number, process in enumerate(processes):
        await until(lambda: sequences[-1:] == process.sequences(f"user{number}")[-1:])  # noqa: B023
        assert sequences == process.sequences(f"user{number}")
        assert not [sequence for sequence in process.sequences("removed") if sequence > removed_at]
        assert "reset" not in process.types(f"user{number}")
