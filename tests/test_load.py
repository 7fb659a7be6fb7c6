"""The load test at its smallest size: it measures what it says, and a server that cheats or fails does not pass."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.load import native, report, wire
from tests.load.bars import reached
from tests.load.catalog import catalog
from tests.load.clients import Clients, RunFailed, Traffic, load_library
from tests.load.histogram import BUCKETS, Histogram, lower_bound
from tests.load.results import Record, Samples
from tests.running import ROOT

COMMAND = (sys.executable, "-m", "tests.load", "all", "--smoke", "--peers", "none")
WORKLOADS = ("fanout", "sse", "send", "idle", "storm", "growth", "bus")
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

needs_compiler = pytest.mark.skipif(not native.compiler(), reason="the clients are built by a C compiler")


class Outcome:
    """What a smoke run of everything has left behind."""

    def __init__(self, directory: Path, printed: str) -> None:
        self.directory = directory
        self.printed = printed
        self.records: list[dict[str, Any]] = json.loads((directory / "results.json").read_text())["records"]

    def of(self, workload: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["workload"] == workload]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    work = tmp_path_factory.mktemp("load")
    done = subprocess.run(
        [*COMMAND, "--work", str(work), "--out", str(work / "results")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Outcome(work / "results", done.stdout)


@needs_compiler
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_measures_loa(outcome: Outcome, workload: str) -> None:
    """Each case has numbers, and nothing in it failed."""
    records = outcome.of(workload)
    assert records
    for record in records:
        assert record["failures"] == []
        assert any(spread["median"] > 0 for spread in record["metrics"].values())


@needs_compiler
def test_every_listener_is_told_every_message(outcome: Outcome) -> None:
    """The latencies that are kept are one for each delivery, so their number is that of messages times listeners."""
    (record,) = [
        record for record in outcome.of("fanout") if (record["case"], record["subject"]) == ("2 in flight", "Loa")
    ]
    deliveries = sum(count for _, count in record["latency_ms"])
    assert deliveries > 0
    assert deliveries % 10 == 0


@needs_compiler
def test_the_results_are_told_and_drawn(outcome: Outcome) -> None:
    """Tables on the screen and in a file, and charts that are well-formed."""
    assert "**send: 4 senders**" in outcome.printed
    assert "**send: 4 senders**" in (outcome.directory / "results.md").read_text()
    charts = {path.stem: ElementTree.parse(path).getroot() for path in outcome.directory.glob("*.svg")}
    assert set(charts) >= set(WORKLOADS)
    assert all(chart.tag == "{http://www.w3.org/2000/svg}svg" for chart in charts.values())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return load_library(tmp_path_factory.mktemp("native"))


@contextmanager
def answering(answer: Callable[[socket.socket, bytes], None]) -> Iterator[wire.Address]:
    """A server on which `answer(connection, data)` is called for whatever comes, until the block ends."""

    def follow(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                answer(connection, data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    def quietly(connection: socket.socket) -> None:
        with suppress(OSError):
            follow(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[:2]
        listener.shutdown(socket.SHUT_RDWR)


def echoing(times: int) -> Callable[[socket.socket, bytes], None]:
    """Lets everyone in, and says back so many times what it is told."""

    def answer(connection: socket.socket, data: bytes) -> None:
        connection.sendall(UPGRADED if data.startswith(b"GET") else data * times)

    return answer


def talking_to_itself(address: wire.Address) -> Traffic:
    says = wire.frame(wire.text())
    return Traffic([], [(wire.upgrade(address, "/"), says)] * 2, answers=True)


def clients(library: ctypes.CDLL, address: wire.Address) -> Clients:
    return Clients(library, address, talking_to_itself(address), lambda: None)


@needs_compiler
def test_what_arrives_is_counted_and_timed(library: ctypes.CDLL) -> None:
    """As many arrivals as messages, each with a latency within the time that all of it took."""
    with answering(echoing(1)) as address, clients(library, address) as two:
        assert two.open().opened.total == 2
        result = two.publish(0.1)
    assert result.arrived == result.complete == result.latency.total > 0
    assert 0 < result.latency.quantile(0.5) <= result.latency.quantile(1) < 1000


@needs_compiler
def test_a_message_that_comes_in_pieces_is_one_message(library: ctypes.CDLL) -> None:
    """A mark may be cut anywhere on its way."""

    def drop_by_drop(connection: socket.socket, data: bytes) -> None:
        if data.startswith(b"GET"):
            connection.sendall(UPGRADED)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            connection.send(data[at : at + 1])

    with answering(drop_by_drop) as address, clients(library, address) as two:
        two.open()
        result = two.publish(0.1)
    assert result.arrived == result.complete > 0


@needs_compiler
def test_messages_that_arrive_twice_fail_the_run(library: ctypes.CDLL) -> None:
    """A server does not get faster by saying everything twice."""
    with answering(echoing(2)) as address, clients(library, address) as two:
        two.open()
        with pytest.raises(RunFailed, match="twice"):
            two.publish(0.1)


@needs_compiler
def test_a_refusal_fails_the_run_with_its_words(library: ctypes.CDLL) -> None:
    """The status line of the answer is what whoever reads the results needs to know."""

    def refuse(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

    with answering(refuse) as address, clients(library, address) as two, pytest.raises(RunFailed, match="503"):
        two.open()


@needs_compiler
def test_a_lost_connection_fails_the_run(library: ctypes.CDLL) -> None:
    """Nobody is fast by hanging up."""

    def hang_up(connection: socket.socket, data: bytes) -> None:
        if data.startswith(b"GET"):
            connection.sendall(UPGRADED)
        else:
            connection.shutdown(socket.SHUT_RDWR)

    with answering(hang_up) as address, clients(library, address) as two:
        two.open()
        with pytest.raises(RunFailed, match="ended a connection"):
            two.publish(0.1)


@needs_compiler
def test_an_interruption_ends_a_run(library: ctypes.CDLL) -> None:
    """Ctrl-C reaches whoever waits for the clients, even in the middle of C."""

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def silent(connection: socket.socket, data: bytes) -> None:
        if data.startswith(b"GET"):
            connection.sendall(UPGRADED)

    # What is started in the background of a shell is told to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with answering(silent) as address, Clients(library, address, talking_to_itself(address), interrupt) as two:
            two.open()
            with pytest.raises(KeyboardInterrupt):
                two.publish(30)
    finally:
        signal.signal(signal.SIGINT, before)


def test_buckets_follow_one_another_without_a_gap() -> None:
    """Each bucket begins where the one before ends, 3 % wide at most once past the first."""
    bounds = [lower_bound(bucket) for bucket in range(BUCKETS)]
    assert bounds == sorted(set(bounds))
    assert all(high - low <= max(1, low / 32) for low, high in pairwise(bounds))


def test_quantiles_are_those_of_the_values() -> None:
    """Half of the values lie below the median, all of them below the end."""
    one_ms = next(bucket for bucket in range(BUCKETS) if lower_bound(bucket + 1) > 1_000_000)
    histogram = Histogram({one_ms: 50, one_ms + 64: 50})
    assert histogram.quantile(0.5) == pytest.approx(1.0, rel=0.04)
    assert histogram.quantile(0.51) == histogram.quantile(1) == pytest.approx(4.0, rel=0.04)


def test_a_template_has_all_places_of_its_digits() -> None:
    """The number goes wherever the digits stand."""
    template = wire.Template.of(b"a########b@########@")
    assert template.places == [1, 11]


def records(**medians: float) -> list[Record]:
    samples = Samples("fanout")
    for subject, median in medians.items():
        samples.add("4 in flight", subject.replace("_", "-"), {"per_second": median})
    return samples.records()


def test_bars_compare_what_was_measured() -> None:
    """Of the peers that were there, each with its own bar; the others are not spoken of."""
    found = reached(records(Loa=80_000, fastapi=20_000, c_loop=110_000))
    assert {(each.bar.against, round(each.value, 2), each.met) for each in found} == {
        ("fastapi", 4.0, True),
        ("c-loop", 0.73, False),
    }


def test_a_table_gives_median_range_and_ratio() -> None:
    """Several rounds are shown with how far they spread."""
    samples = Samples("fanout")
    for ours, theirs in ((300, 100), (200, 100), (400, 100)):
        samples.add("4 in flight", "Loa", {"per_second": ours})
        samples.add("4 in flight", "ws", {"per_second": theirs})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.tables(samples.records()).splitlines()]
    assert ["Loa", "300 (200–400)", ""] in rows
    assert ["ws", "100 (100–100)", "3.00"] in rows


def test_every_peer_says_how_it_is_run(tmp_path: Path) -> None:
    """Each takes part in something, under its name, and its program is one of ours."""
    for name, peer in catalog(tmp_path).items():
        assert peer.name == name
        assert peer.how
        assert set(peer.talks) <= {*WORKLOADS, "idle-streams"}
