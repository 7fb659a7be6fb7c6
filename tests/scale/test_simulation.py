"""The formulas of the simulation, compared with what is counted on processes among whom users are spread at random."""

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from service.realtime.addresses import presence_address, room_address
from service.realtime.dispatcher import MAX_ADDRESSED
from tests.cluster import Node
from tests.scale.bus_process import BusProcess, until
from tests.scale.simulation import ONLINE, WATCHED, Deployment, commands, hit, received, rooms
from tests.scale.test_routing import calls

Make = Callable[[str], BusProcess]
USERS = 2000
DEPLOYMENT = Deployment(int(USERS * ONLINE), 8)
CONVERSATIONS = 60


@pytest.mark.parametrize("members", [2, 8, 17, 50])
async def test_events_cost_what_the_simulation_says(server: Node, start: Make, members: int) -> None:
    """Commands and messages exactly; how many processes have somebody in a conversation, about as the formulas say.

    A cluster gets a command for each publication, whose channels have different slots; the single server here does not.
    """
    chance = random.Random(members)
    processes = [start(server.url) for _ in range(DEPLOYMENT.processes)]
    places = {f"user{number}": chance.choice(processes) for number in range(DEPLOYMENT.connections)}
    everybody = [f"user{number}" for number in range(USERS)]
    online = list(places)
    groups = [[chance.choice(online), *chance.sample(everybody, members)] for _ in range(CONVERSATIONS)]
    groups = [list(dict.fromkeys(group))[:members] for group in groups]
    is_room = members > MAX_ADDRESSED
    await start_all(processes, places)
    if is_room:
        await join(groups, places)
    before = await calls(server.redis, "publish")
    for number, group in enumerate(groups):
        places[group[0]].publish(f"c:{number}", [1], group, room=is_room)
        await places[group[0]].sent()
    sent = await calls(server.redis, "publish") - before
    await all_received(processes)
    assert CONVERSATIONS * commands(members) == sent
    here = [[sum(places.get(user) is process for user in group) for process in processes] for group in groups]
    arrived = sum(process.bus.messages_received for process in processes)
    assert sum(received(members, count) for counts in here for count in counts) == arrived
    present = 1 + (members - 1) * ONLINE
    expected = hit(DEPLOYMENT.processes, present) if is_room else present
    assert CONVERSATIONS * expected == pytest.approx(arrived, rel=0.15)
    if is_room:
        followed = sum(count > 0 for counts in here for count in counts) / DEPLOYMENT.processes
        # One of the members is online in any case, on one of the processes.
        without_others = CONVERSATIONS - rooms(DEPLOYMENT, members - 1, CONVERSATIONS)
        formula = CONVERSATIONS - without_others * (1 - 1 / DEPLOYMENT.processes)
        assert formula == pytest.approx(followed, rel=0.15)


async def test_presence_costs_what_the_simulation_says(server: Node, start: Make) -> None:
    """One publication for a change, and one message for each process where somebody watches the user."""
    chance = random.Random(WATCHED)
    processes = [start(server.url) for _ in range(DEPLOYMENT.processes)]
    await asyncio.gather(*(process.bus.start() for process in processes))
    users, watchers = [f"user{number}" for number in range(CONVERSATIONS)], 6
    places = {user: {chance.choice(processes) for _ in range(watchers)} for user in users}
    addresses = {presence_address(user): watching for user, watching in places.items()}
    for address, watching in addresses.items():
        for process in watching:
            process.bus.subscribe(address)
    await until(lambda: all(each.bus.is_subscribed(address) for address in addresses for each in addresses[address]))
    before = await calls(server.redis, "publish")
    for address in addresses:
        processes[0].bus.publish("presence", {}, to=[address])
    await processes[0].sent()
    sent = await calls(server.redis, "publish") - before
    await all_received(processes)
    arrived = sum(process.bus.messages_received for process in processes)
    assert len(users) == sent
    assert sum(len(watching) for watching in places.values()) == arrived
    assert len(users) * hit(DEPLOYMENT.processes, watchers) == pytest.approx(arrived, rel=0.1)


async def start_all(processes: Sequence[BusProcess], places: dict[str, BusProcess]) -> None:
    await asyncio.gather(*(process.bus.start() for process in processes))
    for process in processes:
        await process.connect(*(user for user, place in places.items() if place is process))


async def join(groups: Sequence[Sequence[str]], places: dict[str, BusProcess]) -> None:
    """Let the processes subscribe to the rooms of their users."""
    for number, group in enumerate(groups):
        for user in set(group) & places.keys():
            places[user].dispatcher.join_room(f"c:{number}", 0, user)
            await until(lambda: places[user].bus.is_subscribed(room_address(f"c:{number}")))  # noqa: B023


async def all_received(processes: Sequence[BusProcess]) -> None:
    """Wait until every process has received what was published before: what follows it arrives after it."""
    last = [asyncio.Event() for _ in processes]
    for process, event in zip(processes, last, strict=True):
        process.bus.on("last", lambda head, body, event=event: event.set())
    processes[0].bus.publish("last", {})
    await asyncio.gather(*(event.wait() for event in last))
