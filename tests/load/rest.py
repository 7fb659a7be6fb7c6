"""`rest`: requests over HTTP, beside handlers that make the same commands to the database without Loa."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.load import wire
from tests.load.bench import PEERS_DATABASE, BenchmarkContext
from tests.load.clients import RunFailed, Traffic
from tests.load.rest_data import Caller, create_callers
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget
from tests.load.wire import Address

WORKLOAD = "rest"
PAGE, HISTORY = 30, 50
"""Conversations or notifications, and messages, in one answer."""
API = "/api/v1"


class Operation(NamedTuple):
    """A request of each caller. `path(caller)` follows API; one that `posts` has a text of 200 bytes."""

    name: str
    path: Callable[[Caller], str]
    posts: bool = False


OPERATIONS = (
    Operation("GET /conversations", lambda caller: f"/conversations?limit={PAGE}"),
    Operation("GET …/messages", lambda caller: f"/conversations/{caller.conversation_id}/messages?limit={HISTORY}"),
    Operation("POST …/messages", lambda caller: f"/conversations/{caller.conversation_id}/messages", posts=True),
    Operation("POST …/comments", lambda caller: f"/posts/{caller.post_id}/comments", posts=True),
    Operation("GET /notifications", lambda caller: f"/notifications?limit={PAGE}"),
)


def run(bench: BenchmarkContext) -> list[Record]:
    sizes, samples = bench.sizes, Samples(WORKLOAD)
    callers = create_callers(bench.database, PEERS_DATABASE, sizes.callers, sizes.own_conversations, 4 * HISTORY)
    with bench.running_peers(WORKLOAD, samples) as peers:
        targets = [bench.shared_loa(), *(running for _, running in peers)]
        bench.progress.begin(WORKLOAD, sizes.rounds * len(OPERATIONS) * len(targets))
        for number in range(1, sizes.rounds + 1):
            for operation in OPERATIONS:
                for target in targets:
                    bench.wait_until_idle(*targets)
                    bench.progress.step(f"{target.name}, {operation.name}, round {number} of {sizes.rounds}")
                    _measure(bench, samples, operation, target, callers)
    return samples.records()


def _measure(
    bench: BenchmarkContext, samples: Samples, operation: Operation, target: LoadTarget, callers: Sequence[Caller]
) -> None:
    try:
        with bench.clients(target, requests(operation, target.address, callers)) as clients:
            clients.open()
            metrics, result = bench.measure_publishing(target, clients)
    except RunFailed as failure:
        samples.fail(operation.name, target.name, str(failure))
        bench.progress.say(f"{target.name}, {operation.name}: {failure}")
    else:
        samples.add(operation.name, target.name, metrics, result.latency, description=target.description)


def requests(operation: Operation, address: Address, callers: Sequence[Caller]) -> Traffic:
    """Each caller on a connection of its own, waiting for each response. The peers take the user from X-User."""
    body = json.dumps({"content": "x" * wire.TEXT_BYTES})
    publishers = []
    for caller in callers:
        path, headers = API + operation.path(caller), (wire.bearer(caller.user.token), f"X-User: {caller.user.id}")
        post = operation.posts
        payload = wire.post(address, path, body, *headers) if post else wire.get(address, path, *headers)
        publishers.append((b"", payload))
    return Traffic([], publishers, keepalive=b"")
