"""What all workloads share: sizes, the database, the peers, and the measurement itself."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tests.load import machine
from tests.load.catalogue import Peer
from tests.load.clients import Clients, Result, Traffic
from tests.load.database import LoadDatabase
from tests.load.loa import loa
from tests.load.machine import Cores
from tests.load.native import BuildError
from tests.load.progress import Progress
from tests.load.results import Samples
from tests.load.target import LoadTarget, StartError

PEERS_DATABASE = "plan"
"""The suffix of the peers' database, a second one on the same server."""


@dataclass(frozen=True)
class Sizes:
    """The size of everything; each can be set on the command line. Times are in seconds."""

    rounds: int = 5
    seconds: float = 5.0
    warm_up: float = 1.0
    listeners: int = 1000
    in_flight: tuple[int, ...] = (4, 64)
    rate: float = 20.0
    comments: float = 1000.0
    senders: int = 100
    idle: int = 5000
    first: int = 200
    """Idle connections that are opened before memory is first measured."""
    storm: int = 2000
    resuming: int = 10_000
    early: int = 100
    connections: tuple[int, ...] = (1000, 2000, 5000, 10_000)
    messages: tuple[int, ...] = (1000, 10_000, 100_000)
    """A million messages take the embedded database 25 minutes to write."""
    conversations: tuple[int, ...] = (10, 200, 2000)
    pages: int = 200
    processes: tuple[int, ...] = (4, 8)
    members: tuple[int, ...] = (2, 17, 100, 1000, 10_000)
    recipients: int = 1000
    calls: int = 50
    callers: int = 16
    own_conversations: int = 500

    @classmethod
    def smoke(cls) -> "Sizes":
        """The smallest sizes that run all of the code once."""
        return cls(
            rounds=1,
            seconds=0.3,
            warm_up=0.1,
            listeners=10,
            in_flight=(2, 8),
            comments=100.0,
            senders=4,
            idle=20,
            first=5,
            storm=20,
            resuming=20,
            early=4,
            connections=(5, 10),
            messages=(50, 300),
            conversations=(2, 20),
            pages=5,
            processes=(3,),
            members=(2, 1000),
            recipients=20,
            calls=3,
            callers=2,
            own_conversations=40,
        )

    def override(self, **given: Any) -> "Sizes":
        """Return the sizes with all given values that are not None."""
        names = {field.name for field in fields(self)}
        return replace(self, **{name: value for name, value in given.items() if name in names and value is not None})


@dataclass
class BenchmarkContext:
    """`work` is the directory for built programs and the servers' files."""

    sizes: Sizes
    database: LoadDatabase
    peers: Sequence[Peer]
    cores: Cores
    work: Path
    library: ctypes.CDLL
    progress: Progress
    open_files: int
    stack: ExitStack
    """Everything entered here ends with the run."""
    _loa: LoadTarget | None = None

    def shared_loa(self) -> LoadTarget:
        """Return a running Loa that the workloads share."""
        if self._loa is None:
            self._loa = self.stack.enter_context(self.start_loa())
        return self._loa

    def start_loa(self) -> AbstractContextManager[LoadTarget]:
        """Start another Loa that has had no connections yet."""
        return loa(self.database, self.cores, self.work)

    @contextmanager
    def running_peers(self, workload: str, samples: Samples) -> Iterator[list[tuple[Peer, LoadTarget]]]:
        """Run the peers of a workload. A peer that does not start is left out and reported."""
        with ExitStack() as stack:
            running = []
            for peer in self.peers_for(workload):
                try:
                    target = stack.enter_context(self.run_peer(peer))
                except (StartError, BuildError) as error:
                    samples.fail("start", peer.name, str(error))
                    self.progress.say(f"{peer.name} is left out: {error}")
                else:
                    running.append((peer, target))
            yield running

    def run_peer(self, peer: Peer) -> AbstractContextManager[LoadTarget]:
        """Run the peer; see `Peer.run`."""
        environment = {"MONGODB_URI": self.database.sibling_uri(PEERS_DATABASE)}
        return peer.run(self.work, self.cores, environment)

    def peers_for(self, workload: str) -> list[Peer]:
        return [peer for peer in self.peers if workload in peer.workloads]

    def clients(self, target: LoadTarget, traffic: Traffic) -> Clients:
        return Clients(self.library, target.address, traffic, self.progress.tick)

    def wait_until_idle(self, *subjects: LoadTarget) -> None:
        """Wait until the servers and datastores have finished earlier work."""
        datastores = self.database.pids
        machine.wait_until_idle(lambda: [pid for target in subjects for pid in target.pids()] + datastores)

    def allows_connections(self, connections: int) -> bool:
        """Whether a process may open that many connections."""
        return connections + 200 <= self.open_files

    def start_cpu_clock(self, target: LoadTarget) -> "CpuClock":
        return CpuClock(target.pids(), [os.getpid(), *self.database.pids])

    def measure_publishing(
        self, target: LoadTarget, clients: Clients, **options: Any
    ) -> tuple[dict[str, float], Result]:
        """Warm up, then publish for `sizes.seconds` (see `Clients.publish`). Returns the metrics and the result."""
        clients.publish(self.sizes.warm_up, **options)
        clock = self.start_cpu_clock(target)
        result = clients.publish(self.sizes.seconds, **options)
        server, load = clock.stop()
        metrics = {
            "p50_ms": result.latency.quantile(0.5),
            "p99_ms": result.latency.quantile(0.99),
            "cpu_us": server / result.arrived * 1e6,
            "load_busy": load / result.publishing,
        }
        if not options.get("rate"):  # otherwise the rate is given
            metrics["per_second"] = result.arrived / result.publishing
        return metrics, result


class CpuClock:
    """The processor time that servers and load use from now on."""

    def __init__(self, servers: list[int], load: list[int]) -> None:
        self._servers, self._load = servers, load
        self._began = machine.cpu_seconds(servers), machine.cpu_seconds(load)

    def stop(self) -> tuple[float, float]:
        """Return the seconds of the servers, and of the load."""
        servers, load = self._began
        return machine.cpu_seconds(self._servers) - servers, machine.cpu_seconds(self._load) - load
