"""`growth`: the cost with more connections, more messages in a conversation, or more conversations of a user."""

import http.client
import json
import time
from collections.abc import Callable

from tests.load import loa
from tests.load.bench import BenchmarkContext
from tests.load.clients import RunFailed, Traffic
from tests.load.database import User
from tests.load.histogram import Histogram
from tests.load.results import Record, Samples
from tests.load.target import LoadTarget

WORKLOAD = "growth"
DELIVERY, OPENING, PAGING, HELLO = (
    "a delivery, by number of connections",
    "opening a conversation, by number of messages",
    "paging back in a conversation, by number of messages",
    "hello, by number of conversations",
)
PAGE = 50
IN_FLIGHT = 4
HELLOS_PER_ROUND = 20
"""One hello is shorter than the clock tick in which the kernel counts processor time."""


def run(bench: BenchmarkContext) -> list[Record]:
    sizes, samples = bench.sizes, Samples(WORKLOAD)
    target = bench.shared_loa()
    steps = len(sizes.connections) + len(sizes.messages) + len(sizes.conversations)
    bench.progress.begin(WORKLOAD, steps * sizes.rounds + len(sizes.messages))
    histories = _create_histories(bench)
    users = _users(bench)
    for _ in range(sizes.rounds):
        for count in sizes.connections:
            _measure_delivery(bench, samples, target, count)
        for count, conversation_id in histories.items():
            _measure_paging(bench, samples, target, count, conversation_id)
        for count, user in users.items():
            _measure_hello(bench, samples, target, count, user)
    return samples.records()


def _measure_delivery(bench: BenchmarkContext, samples: Samples, target: LoadTarget, count: int) -> None:
    """A group of the smallest size, with several WebSockets per user: every message reaches all of them."""
    bench.progress.step(f"{count} connections")
    size = min(bench.sizes.connections)
    if not bench.allows_connections(count):
        samples.fail(DELIVERY, f"{count:,}", f"only {bench.open_files} open files are allowed (ulimit -n)")
        return
    bench.wait_until_idle(target)
    try:
        with bench.clients(target, loa.group(bench.database, target.address, size, each=count // size)) as clients:
            clients.open()
            bench.wait_until_idle(target)
            metrics, result = bench.measure_publishing(target, clients, window=IN_FLIGHT)
    except RunFailed as failure:
        samples.fail(DELIVERY, f"{count:,}", str(failure))
        bench.progress.say(f"{count} connections: {failure}")
    else:
        samples.add(DELIVERY, f"{count:,}", metrics, result.latency, description=target.description, size=count)


def _create_histories(bench: BenchmarkContext) -> dict[int, str]:
    """Conversations by their number of messages."""
    one, other = bench.database.users(2)
    conversations = {}
    for count in bench.sizes.messages:
        bench.progress.step(f"writing {count} messages")
        conversations[count] = bench.database.create_history(one, other, count, bench.progress.tick)
    return conversations


def _measure_paging(
    bench: BenchmarkContext, samples: Samples, target: LoadTarget, count: int, conversation_id: str
) -> None:
    bench.progress.step(f"{count} messages")
    user = bench.database.users(1)[0]
    path = f"/api/v1/conversations/{conversation_id}"
    newest = f"{path}/messages?limit={PAGE}"
    before = max(PAGE + 1, count * 2 // 3)
    server = http.client.HTTPConnection(*target.address, timeout=30)
    pages = range(bench.sizes.pages)

    def ask(*paths: str) -> None:
        for each in paths:
            server.request("GET", each, headers={"Authorization": f"Bearer {user.token}"})
            answer = server.getresponse()
            found = json.loads(answer.read())
            if answer.status != 200 or len(found.get("items", (0,))) == 0:
                raise RunFailed(f"{each}: {answer.status}")

    try:
        ask(path, newest)
        _measure_calls(bench, samples, target, OPENING, count, [lambda: ask(path, newest) for _ in pages])
        earlier = [f"{newest}&before={before - step % (before - PAGE)}" for step in pages]
        _measure_calls(bench, samples, target, PAGING, count, [lambda each=each: ask(each) for each in earlier])  # type: ignore[misc]
    finally:
        server.close()


def _users(bench: BenchmarkContext) -> dict[int, User]:
    """Users by their number of conversations."""
    sizes = bench.sizes.conversations
    first = min(bench.sizes.connections)
    *users, other = bench.database.users(first + len(sizes) + 1)[first:]
    for user, count in zip(users, sizes, strict=True):
        bench.database.create_conversations(user, other, count)
    return dict(zip(sizes, users, strict=True))


def _measure_hello(bench: BenchmarkContext, samples: Samples, target: LoadTarget, count: int, user: User) -> None:
    bench.progress.step(f"{count} conversations")
    bench.wait_until_idle(target)
    clock = bench.start_cpu_clock(target)
    opened = []
    request = loa.socket(target.address, user)
    for _ in range(HELLOS_PER_ROUND):
        with bench.clients(target, Traffic([request], ready=loa.SOCKET_READY)) as clients:
            opened.append(clients.open().opened)
    server, _ = clock.stop()
    latency = Histogram.sum(opened)
    metrics = {"ms": latency.quantile(0.5), "cpu_ms": server / HELLOS_PER_ROUND * 1000}
    samples.add(HELLO, f"{count:,}", metrics, latency, description=target.description, size=count)


def _measure_calls(
    bench: BenchmarkContext,
    samples: Samples,
    target: LoadTarget,
    case: str,
    count: int,
    calls: list[Callable[[], None]],
) -> None:
    clock = bench.start_cpu_clock(target)
    took = []
    for call in calls:
        began = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - began)
    server, _ = clock.stop()
    took.sort()
    metrics = {
        "ms": took[len(took) // 2] / 1e6,
        "p99_ms": took[len(took) * 99 // 100] / 1e6,
        "cpu_ms": server / len(took) * 1000,
    }
    samples.add(case, f"{count:,}", metrics, description=target.description, size=count)
