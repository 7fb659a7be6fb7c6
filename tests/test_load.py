"""The load test in its smallest size: it measures what it claims, and servers that fail or cheat do not pass."""

import ctypes
import json
import os
import select
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
from tests.load.catalogue import catalogue
from tests.load.clients import Clients, RunFailed, Traffic, load_library
from tests.load.histogram import BUCKETS, Histogram, lower_bound
from tests.load.results import Record, Samples
from tests.load.thresholds import evaluate
from tests.running import ROOT

COMMAND = (sys.executable, "-m", "tests.load", "all", "--smoke", "--peers", "none")
WORKLOADS = (
    "fanout",
    "sse",
    "inbox",
    "send",
    "search",
    "webhooks",
    "server_notifications",
    "idle",
    "storm",
    "growth",
    "bus",
    "rest",
)
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

needs_compiler = pytest.mark.skipif(not native.compiler(), reason="the clients are built by a C compiler")


class SmokeRun:
    """The files and output of a smoke run of all workloads."""

    def __init__(self, directory: Path, printed: str) -> None:
        self.directory = directory
        self.printed = printed
        self.records: list[dict[str, Any]] = json.loads((directory / "results.json").read_text())["records"]

    def of(self, workload: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["workload"] == workload]


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
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
    return SmokeRun(work / "results", done.stdout)


@pytest.mark.scenario
@needs_compiler
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_measures_loa_without_failures(smoke_run: SmokeRun, workload: str) -> None:
    """Each case has values, and nothing failed."""
    records = smoke_run.of(workload)
    assert records
    for record in records:
        assert record["failures"] == []
        assert any(summary["median"] > 0 for summary in record["metrics"].values())


@pytest.mark.scenario
@needs_compiler
def test_every_listener_receives_every_message(smoke_run: SmokeRun) -> None:
    """There is one latency for each delivery, so their number is messages times listeners."""
    (record,) = [
        record for record in smoke_run.of("fanout") if (record["case"], record["subject"]) == ("2 in flight", "Loa")
    ]
    deliveries = sum(count for _, count in record["latency_ms"])
    assert deliveries > 0
    assert deliveries % 10 == 0


@pytest.mark.scenario
@needs_compiler
def test_results_are_printed_and_drawn(smoke_run: SmokeRun) -> None:
    """Tables are printed and written to a file, and the charts are well-formed."""
    assert "**send: 4 senders**" in smoke_run.printed
    assert "**send: 4 senders**" in (smoke_run.directory / "results.md").read_text()
    charts = {path.stem: ElementTree.parse(path).getroot() for path in smoke_run.directory.glob("*.svg")}
    assert set(charts) >= set(WORKLOADS)
    assert all(chart.tag == "{http://www.w3.org/2000/svg}svg" for chart in charts.values())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return load_library(tmp_path_factory.mktemp("native"))


@contextmanager
def answering(answer: Callable[[socket.socket, bytes], None]) -> Iterator[wire.Address]:
    """Run a server that calls `answer(connection, data)` for everything it receives, until the block ends."""

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
    """A server that accepts every handshake, and sends each message back `times` times."""

    def answer(connection: socket.socket, data: bytes) -> None:
        connection.sendall(UPGRADED if data.startswith(b"GET") else data * times)

    return answer


def echo_traffic(address: wire.Address) -> Traffic:
    payload = wire.frame(wire.marked_text())
    return Traffic([], [(wire.upgrade(address, "/"), payload)] * 2, answers=True)


def clients(library: ctypes.CDLL, address: wire.Address) -> Clients:
    return Clients(library, address, echo_traffic(address), lambda: None)


@needs_compiler
def test_arrivals_are_counted_and_timed(library: ctypes.CDLL) -> None:
    """There are as many arrivals as messages, and each latency is within the duration of the run."""
    with answering(echoing(1)) as address, clients(library, address) as two:
        assert two.open().opened.total == 2
        result = two.publish(0.1)
    assert result.arrived == result.complete == result.latency.total > 0
    assert 0 < result.latency.quantile(0.5) <= result.latency.quantile(1) < 1000


@needs_compiler
def test_a_message_in_several_parts_is_counted_once(library: ctypes.CDLL) -> None:
    """A marker may be split anywhere."""

    def byte_by_byte(connection: socket.socket, data: bytes) -> None:
        if data.startswith(b"GET"):
            connection.sendall(UPGRADED)
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            connection.send(data[at : at + 1])

    with answering(byte_by_byte) as address, clients(library, address) as two:
        two.open()
        result = two.publish(0.1)
    assert result.arrived == result.complete > 0


@needs_compiler
def test_a_response_arrives_with_the_last_byte_of_its_body(library: ctypes.CDLL) -> None:
    """Who waits for responses sends nothing before; each is timed and counted once."""
    early: list[bytes] = []

    def in_two_parts(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nthe ")
        if select.select([connection], [], [], 0.05)[0]:
            early.append(connection.recv(65536))
        connection.sendall(b"whole")

    traffic = Traffic([], [(b"", b"GET / HTTP/1.1\r\n\r\n")] * 2, keepalive=b"")
    with answering(in_two_parts) as address, Clients(library, address, traffic, lambda: None) as two:
        two.open()
        result = two.publish(0.1)
    assert early == []
    assert result.arrived == result.complete == result.latency.total >= 2
    assert result.latency.quantile(0) >= 40


@needs_compiler
def test_messages_that_arrive_twice_fail_the_run(library: ctypes.CDLL) -> None:
    """A server gains nothing by sending everything twice."""
    with answering(echoing(2)) as address, clients(library, address) as two:
        two.open()
        with pytest.raises(RunFailed, match="twice"):
            two.publish(0.1)


@needs_compiler
def test_a_rejected_handshake_fails_the_run_with_the_status_line(library: ctypes.CDLL) -> None:
    """The error contains the status line of the response."""

    def refuse(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

    with answering(refuse) as address, clients(library, address) as two, pytest.raises(RunFailed, match="503"):
        two.open()


@needs_compiler
def test_a_lost_connection_fails_the_run(library: ctypes.CDLL) -> None:
    """A server gains nothing by closing connections."""

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
    """Ctrl-C interrupts a run even while C code is running."""

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def silent(connection: socket.socket, data: bytes) -> None:
        if data.startswith(b"GET"):
            connection.sendall(UPGRADED)

    # Processes started in the background of a shell ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with answering(silent) as address, Clients(library, address, echo_traffic(address), interrupt) as two:
            two.open()
            with pytest.raises(KeyboardInterrupt):
                two.publish(30)
    finally:
        signal.signal(signal.SIGINT, before)


def test_histogram_buckets_have_no_gaps() -> None:
    """Each bucket begins where the previous one ends, and is at most 3 % wide."""
    bounds = [lower_bound(bucket) for bucket in range(BUCKETS)]
    assert bounds == sorted(set(bounds))
    assert all(high - low <= max(1, low / 32) for low, high in pairwise(bounds))


def test_quantiles_match_the_values() -> None:
    """Half of the values lie below the median, all of them below the maximum."""
    one_ms = next(bucket for bucket in range(BUCKETS) if lower_bound(bucket + 1) > 1_000_000)
    histogram = Histogram({one_ms: 50, one_ms + 64: 50})
    assert histogram.quantile(0.5) == pytest.approx(1.0, rel=0.04)
    assert histogram.quantile(0.51) == histogram.quantile(1) == pytest.approx(4.0, rel=0.04)


def test_a_template_finds_all_offsets_of_its_digits() -> None:
    """The offsets of all digit placeholders are found."""
    template = wire.Template.of(b"a########b@########@")
    assert template.offsets == [1, 11]


def records(**medians: float) -> list[Record]:
    samples = Samples("fanout")
    for target, median in medians.items():
        samples.add("4 in flight", target.replace("_", "-"), {"per_second": median})
    return samples.records()


def test_thresholds_compare_measured_peers_only() -> None:
    """Only peers that were measured are compared, each with its own threshold."""
    found = evaluate(records(Loa=80_000, fastapi=20_000, c_loop=110_000))
    assert {(each.threshold.against, round(each.value, 2), each.met) for each in found} == {
        ("fastapi", 4.0, True),
        ("c-loop", 0.73, False),
    }


def test_the_embedded_database_may_have_a_bound_of_its_own() -> None:
    """What the database alone decides is less there."""
    samples = Samples("send")
    for target, stored in (("Loa", 300), ("insert-one", 100)):
        samples.add("4 senders", target, {"per_second": stored})
    assert [(4.0, False)] == [(each.threshold.bound, each.met) for each in evaluate(samples.records())]
    found = evaluate(samples.records(), embedded=True)
    assert [(2.5, True)] == [(each.threshold.bound, each.met) for each in found]


def test_a_table_shows_median_range_and_ratio() -> None:
    """The range of several rounds is shown."""
    samples = Samples("fanout")
    for ours, theirs in ((300, 100), (200, 100), (400, 100)):
        samples.add("4 in flight", "Loa", {"per_second": ours})
        samples.add("4 in flight", "ws", {"per_second": theirs})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.tables(samples.records()).splitlines()]
    assert ["Loa", "300 (200–400)", ""] in rows
    assert ["ws", "100 (100–100)", "3.00"] in rows


def test_every_peer_has_a_description_and_a_workload(tmp_path: Path) -> None:
    """Each peer takes part in a workload, under its own name, with a description."""
    for name, peer in catalogue(tmp_path).items():
        assert peer.name == name
        assert peer.description
        assert set(peer.workloads) <= {*WORKLOADS, "idle-streams", "storm-streams"}
