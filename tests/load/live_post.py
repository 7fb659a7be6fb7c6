"""A live post that many people watch while a thousand comments a second arrive: `python -m tests.load.live_post`.

Prints how many comments were stored, what each watcher received of them, the memory of the worker, and how long the
messages of others took meanwhile. It starts a Loa of its own, on embedded datastores unless MONGODB_URI and REDIS_URL
name others.
"""

import argparse
import asyncio
import json
import os
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from websockets.asyncio.client import connect

from tests.load import loa, wire
from tests.load.clients import Clients, Traffic, load_library
from tests.load.database import LoadDatabase, User, load_database
from tests.load.machine import Cores, cpu_seconds
from tests.load.target import LoadTarget

SOCKETS_EACH = 10
"""Of each watching user: their tabs and devices."""
CALLERS = 64
MEMBERS = 10
"""Of the conversation in which others write."""
RATE = 20.0
"""Messages a second there."""
MARGIN = 2.0
"""Seconds that the comments last longer than the measurement, before and after it."""
SETTLE = 5.0
"""Seconds after the last comment in which its state arrives."""


class Watcher:
    """One more watcher of the post. Counts what it receives, by type."""

    def __init__(self, target: LoadTarget, user: User, post: str) -> None:
        self._target, self._user, self._post = target, user, post
        self.received: Counter[str] = Counter()
        self.bytes = 0
        self.comment_count = 0
        self._ready = threading.Event()
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=lambda: asyncio.run(self._watch()))
        thread.start()
        assert self._ready.wait(30)
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    async def _watch(self) -> None:
        host, port = self._target.address
        url = f"ws://{host}:{port}{loa.SOCKET}?token={self._user.token}"
        async with connect(url, compression=None, max_size=None) as socket:
            await socket.send(json.dumps({"type": "watch_posts", "ref": "w", "post_ids": [self._post]}))
            while not self._stop.is_set():
                try:
                    frame = await asyncio.wait_for(socket.recv(), 0.2)
                except TimeoutError:
                    continue
                event = json.loads(frame)
                self._ready.set()
                self.received[event["type"]] += 1
                self.bytes += len(frame)
                if event["type"] == "post_updated":
                    self.comment_count = event["data"]["comment_count"]


def watchers(database: LoadDatabase, target: LoadTarget, count: int, post: str) -> Traffic:
    users = database.users(CALLERS + MEMBERS + count // SOCKETS_EACH)[CALLERS + MEMBERS :]
    watch = wire.frame({"type": "watch_posts", "ref": "w", "post_ids": [post]})
    sockets = [loa.socket(target.address, user) for user in users] * SOCKETS_EACH
    return Traffic([], joiners=sockets, ready=b'"type":"ack"', after=watch)


def callers(database: LoadDatabase, target: LoadTarget, post: str) -> Traffic:
    """Users who comment, each waiting for the response before the next comment."""
    path, publishers = f"/api/v1/posts/{post}/comments", []
    for user in database.users(CALLERS):
        body = f'{{"content": "{wire.marked_text()}"}}'
        publishers.append((b"", wire.post(target.address, path, body, wire.bearer(user.token))))
    return Traffic([], publishers, keepalive=b"")


def memory_of(target: LoadTarget) -> float:
    """Return the resident memory of the worker, in megabytes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in target.pids())
    return pages * resource.getpagesize() / 2**20


def measure(database: LoadDatabase, target: LoadTarget, work: Path, count: int, rate: float, seconds: float) -> None:
    library = load_library(work)
    users = database.users(CALLERS + MEMBERS)
    post = database.create_post(users[0])
    peak = memory_of(target)

    def tick() -> None:
        nonlocal peak
        peak = max(peak, memory_of(target))

    def clients(traffic: Traffic) -> Clients:
        return Clients(library, target.address, traffic, tick)

    others = loa.group(database, target.address, MEMBERS)
    watcher = Watcher(target, users[-1], post)
    with (
        clients(watchers(database, target, count, post)) as watching,
        clients(others) as group,
        clients(callers(database, target, post)) as commenting,
    ):
        opening = watching.join().opening
        group.open()
        commenting.open()
        alone = group.publish(seconds, rate=RATE).latency
        before, used = memory_of(target), cpu_seconds(target.pids())
        with watcher.watching(), ThreadPoolExecutor(2) as executor:
            reading = executor.submit(watching.receive, seconds + 2 * MARGIN + SETTLE)
            comments = executor.submit(commenting.publish, seconds + 2 * MARGIN, rate=rate)
            time.sleep(MARGIN)
            beside = group.publish(seconds, rate=RATE).latency
            stored = comments.result()
            used = cpu_seconds(target.pids()) - used
            # A watcher that could not keep up has been disconnected: RunFailed.
            reading.result()
    took, received = stored.publishing, dict(watcher.received)
    print(f"{count} watchers connected in {opening:.0f} s; {before:.0f} MB before, at most {peak:.0f} MB")
    print(f"{stored.complete} comments stored in {took:.1f} s: {stored.complete / took:.0f} a second")
    print(f"each watcher received {watcher.bytes / 1024:.0f} KB: {received}")
    print(f"the last state of the post that it received has {watcher.comment_count} comments")
    print(f"the worker's core was busy for {used / took:.0%} of the time")
    for name, latency in (("alone", alone), ("beside it", beside)):
        p50, p99 = latency.quantile(0.5), latency.quantile(0.99)
        print(f"messages of others, {name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1000, help="comments a second")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cores = Cores()
    uris = os.environ.get("MONGODB_URI"), os.environ.get("REDIS_URL")
    with tempfile.TemporaryDirectory() as directory, cores.on_load_cores():
        work = Path(directory)
        with load_database(work / "data", *uris) as database, loa.loa(database, cores, work) as target:
            measure(database, target, work, options.watchers, options.rate, options.seconds)


if __name__ == "__main__":
    main()
