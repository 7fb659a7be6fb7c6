"""`growth`: what becomes dearer with more of it: connections, messages of a conversation, conversations of a user."""

import http.client
import json
import time
from collections.abc import Callable

from tests.load import loa
from tests.load.bench import Bench
from tests.load.clients import RunFailed, Traffic
from tests.load.histogram import Histogram
from tests.load.results import Record, Samples
from tests.load.subject import Subject
from tests.load.world import Person

WORKLOAD = "growth"
DELIVERY, OPENING, PAGING, HELLO = (
    "a dispatcher, with so many connections",
    "opening a conversation of so many messages",
    "paging back in a conversation of so many messages",
    "hello, with so many conversations",
)
PAGE = 50
IN_FLIGHT = 4
HELLOS = 20
"""In one round: a hello is shorter than the clock tick by which processor time is counted."""


def run(bench: Bench) -> list[Record]:
    sizes, samples = bench.sizes, Samples(WORKLOAD)
    subject = bench.loa()
    steps = len(sizes.connections) + len(sizes.messages) + len(sizes.conversations)
    bench.progress.begin(WORKLOAD, steps * sizes.rounds + len(sizes.messages))
    histories = _histories(bench)
    people = _people(bench)
    for _ in range(sizes.rounds):
        for count in sizes.connections:
            _deliver(bench, samples, subject, count)
        for count, conversation_id in histories.items():
            _page(bench, samples, subject, count, conversation_id)
        for count, person in people.items():
            _greet(bench, samples, subject, count, person)
    return samples.records()


def _deliver(bench: Bench, samples: Samples, subject: Subject, count: int) -> None:
    """A group of as many people as the smallest size, with more sockets each: every message reaches all of them."""
    bench.progress.step(f"{count} connections")
    size = min(bench.sizes.connections)
    if not bench.enough_files(count):
        samples.fail(DELIVERY, f"{count:,}", f"only {bench.open_files} open files are allowed (ulimit -n)")
        return
    bench.settle(subject)
    try:
        with bench.clients(subject, loa.group(bench.world, subject.address, size, each=count // size)) as clients:
            clients.open()
            bench.settle(subject)
            metrics, result = bench.published(subject, clients, window=IN_FLIGHT)
    except RunFailed as failure:
        samples.fail(DELIVERY, f"{count:,}", str(failure))
        bench.progress.say(f"{count} connections: {failure}")
    else:
        samples.add(DELIVERY, f"{count:,}", metrics, result.latency, how=subject.how, size=count)


def _histories(bench: Bench) -> dict[int, str]:
    """Conversations by how many messages they have."""
    one, other = bench.world.people(2)
    made = {}
    for count in bench.sizes.messages:
        bench.progress.step(f"writing {count} messages")
        made[count] = bench.world.history(one, other, count, bench.progress.tick)
    return made


def _page(bench: Bench, samples: Samples, subject: Subject, count: int, conversation_id: str) -> None:
    bench.progress.step(f"{count} messages")
    person = bench.world.people(1)[0]
    path = f"/api/v1/conversations/{conversation_id}"
    newest = f"{path}/messages?limit={PAGE}"
    before = max(PAGE + 1, count * 2 // 3)
    server = http.client.HTTPConnection(*subject.address, timeout=30)
    pages = range(bench.sizes.pages)

    def ask(*paths: str) -> None:
        for each in paths:
            server.request("GET", each, headers={"Authorization": f"Bearer {person.token}"})
            answer = server.getresponse()
            found = json.loads(answer.read())
            if answer.status != 200 or len(found.get("items", (0,))) == 0:
                raise RunFailed(f"{each}: {answer.status}")

    try:
        ask(path, newest)
        _time(bench, samples, subject, OPENING, count, [lambda: ask(path, newest) for _ in pages])
        earlier = [f"{newest}&before={before - step % (before - PAGE)}" for step in pages]
        _time(bench, samples, subject, PAGING, count, [lambda each=each: ask(each) for each in earlier])  # type: ignore[misc]
    finally:
        server.close()


def _people(bench: Bench) -> dict[int, Person]:
    """People by how many conversations they have."""
    sizes = bench.sizes.conversations
    first = min(bench.sizes.connections)
    *people, other = bench.world.people(first + len(sizes) + 1)[first:]
    for person, count in zip(people, sizes, strict=True):
        bench.world.conversations(person, other, count)
    return dict(zip(sizes, people, strict=True))


def _greet(bench: Bench, samples: Samples, subject: Subject, count: int, person: Person) -> None:
    bench.progress.step(f"{count} conversations")
    bench.settle(subject)
    clock = bench.clock(subject)
    opened = []
    request = loa.socket(subject.address, person)
    for _ in range(HELLOS):
        with bench.clients(subject, Traffic([request], ready=loa.SOCKET_READY)) as clients:
            opened.append(clients.open().opened)
    server, _ = clock.stop()
    latency = Histogram.sum(opened)
    metrics = {"ms": latency.quantile(0.5), "cpu_ms": server / HELLOS * 1000}
    samples.add(HELLO, f"{count:,}", metrics, latency, how=subject.how, size=count)


def _time(
    bench: Bench, samples: Samples, subject: Subject, case: str, count: int, calls: list[Callable[[], None]]
) -> None:
    clock = bench.clock(subject)
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
    samples.add(case, f"{count:,}", metrics, how=subject.how, size=count)
