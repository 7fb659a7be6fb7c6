"""Connect clients to every worker: the kernel chooses the worker of a connection, so this opens as many as needed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tests.faults.client import Client
from tests.faults.environment import FaultEnvironment
from tests.faults.users import User
from tests.protocol.worker_lookup import MAX_CONNECTIONS, owner_of
from tests.running import Server

Kind = TypeVar("Kind", bound=Client)


def worker_of(server: Server, client: Client) -> int:
    """Return the pid of the worker that serves `client`, which must be online."""
    return owner_of(server, client.api.address[1], client.port)


async def connect_to_each_worker(
    env: FaultEnvironment,
    server: Server,
    users: Sequence[User],
    connect: Callable[[Sequence[User]], Awaitable[list[Kind]]],
) -> list[Kind]:
    """Return one client on each worker, of these users in turn. `connect` is `env.connect_sockets` or
    `env.connect_streams`."""
    found: dict[int, Kind] = {}
    for number in range(MAX_CONNECTIONS):
        if len(found) == len(server.workers):
            return list(found.values())
        (client,) = await connect([users[number % len(users)]])
        if worker_of(server, client) in found:
            await env.stop_clients([client])
        else:
            found[worker_of(server, client)] = client
    raise AssertionError(f"{MAX_CONNECTIONS} connections, all of them on {list(found)}")
