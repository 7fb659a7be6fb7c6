"""Clients on every worker: which one a connection falls to is the kernel's choice, so there are as many as it takes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tests.faults.client import Client
from tests.faults.people import Person
from tests.faults.stage import Stage
from tests.protocol.processes import MOST, owner_of
from tests.running import Server

Kind = TypeVar("Kind", bound=Client)


def worker_of(server: Server, client: Client) -> int:
    """The pid of the worker that serves `client`, which is online."""
    return owner_of(server, client.front.address[1], client.port)


async def on_each_worker(
    stage: Stage,
    server: Server,
    people: Sequence[Person],
    make: Callable[[Sequence[Person]], Awaitable[list[Kind]]],
) -> list[Kind]:
    """One client for each worker, of these people in turn; `make` is `stage.sockets` or `stage.streams`."""
    found: dict[int, Kind] = {}
    for number in range(MOST):
        if len(found) == len(server.workers):
            return list(found.values())
        (client,) = await make([people[number % len(people)]])
        if worker_of(server, client) in found:
            await stage.leave([client])
        else:
            found[worker_of(server, client)] = client
    raise AssertionError(f"{MOST} connections, and all of them on {list(found)}")
