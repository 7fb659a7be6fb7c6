"""What every workload stands on: the sizes, the world, the peers to measure beside Loa, and the measuring itself."""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tests.load import machine
from tests.load.catalog import Peer
from tests.load.clients import Clients, Result, Traffic
from tests.load.loa import loa
from tests.load.machine import Cores
from tests.load.native import CannotBuild
from tests.load.progress import Progress
from tests.load.results import Samples
from tests.load.subject import CannotStart, Subject
from tests.load.world import World


@dataclass(frozen=True)
class Sizes:
    """How much of everything; each can be set on the command line. Times are in seconds."""

    rounds: int = 5
    seconds: float = 5.0
    warm_up: float = 1.0
    listeners: int = 1000
    in_flight: tuple[int, ...] = (4, 64)
    rate: float = 20.0
    senders: int = 100
    idle: int = 5000
    first: int = 200
    """Idle connections that are there before memory is first looked at."""
    storm: int = 2000
    early: int = 100
    connections: tuple[int, ...] = (1000, 2000, 5000, 10_000)
    messages: tuple[int, ...] = (1000, 10_000, 100_000)
    """A million takes the embedded database a quarter of an hour to write."""
    conversations: tuple[int, ...] = (10, 200, 2000)
    pages: int = 200

    @classmethod
    def smoke(cls) -> "Sizes":
        """Just enough to go through everything once."""
        return cls(
            rounds=1,
            seconds=0.3,
            warm_up=0.1,
            listeners=10,
            in_flight=(2, 8),
            senders=4,
            idle=20,
            first=5,
            storm=20,
            early=4,
            connections=(5, 10),
            messages=(50, 300),
            conversations=(2, 20),
            pages=5,
        )

    def changed(self, **given: Any) -> "Sizes":
        """With what is not None in its place."""
        names = {field.name for field in fields(self)}
        return replace(self, **{name: value for name, value in given.items() if name in names and value is not None})


@dataclass
class Bench:
    """`work`: where programs are built and servers keep their files."""

    sizes: Sizes
    world: World
    peers: Sequence[Peer]
    cores: Cores
    work: Path
    library: ctypes.CDLL
    progress: Progress
    open_files: int
    stack: ExitStack
    """What is left there is ended with the run."""
    _loa: Subject | None = None

    def loa(self) -> Subject:
        """A running Loa that the workloads share."""
        if self._loa is None:
            self._loa = self.stack.enter_context(self.fresh_loa())
        return self._loa

    def fresh_loa(self) -> AbstractContextManager[Subject]:
        """Another one, which nobody has connected to."""
        return loa(self.world, self.cores, self.work)

    @contextmanager
    def started(self, workload: str, samples: Samples) -> Iterator[list[tuple[Peer, Subject]]]:
        """The peers of a workload, running; one that does not start is left out, with a word."""
        with ExitStack() as stack:
            running = []
            for peer in self.peers_of(workload):
                try:
                    subject = stack.enter_context(self.running(peer))
                except (CannotStart, CannotBuild) as error:
                    samples.fail("start", peer.name, str(error))
                    self.progress.say(f"{peer.name} is left out: {error}")
                else:
                    running.append((peer, subject))
            yield running

    def running(self, peer: Peer) -> AbstractContextManager[Subject]:
        """The peer as a context manager; see `Peer.running`."""
        # Beside the world's own database, on the same server.
        environment = {"MONGODB_URI": self.world.beside("plan")}
        return peer.running(self.work, self.cores, environment)

    def peers_of(self, workload: str) -> list[Peer]:
        return [peer for peer in self.peers if workload in peer.talks]

    def clients(self, subject: Subject, traffic: Traffic) -> Clients:
        return Clients(self.library, subject.address, traffic, self.progress.tick)

    def settle(self, *subjects: Subject) -> None:
        """Wait until nothing that ran before runs on."""
        datastores = self.world.pids
        machine.settle(lambda: [pid for subject in subjects for pid in subject.pids()] + datastores)

    def enough_files(self, connections: int) -> bool:
        """Whether a process may have so many connections."""
        return connections + 200 <= self.open_files

    def clock(self, subject: Subject) -> "Clock":
        return Clock(subject.pids(), [os.getpid(), *self.world.pids])

    def published(self, subject: Subject, clients: Clients, **options: Any) -> tuple[dict[str, float], Result]:
        """Warm up, publish for the bench's time (see `Clients.publish`), and say what it took."""
        clients.publish(self.sizes.warm_up, **options)
        clock = self.clock(subject)
        result = clients.publish(self.sizes.seconds, **options)
        server, load = clock.stop()
        metrics = {
            "p50_ms": result.latency.quantile(0.5),
            "p99_ms": result.latency.quantile(0.99),
            "cpu_us": server / result.arrived * 1e6,
            "load_busy": load / result.publishing,
        }
        if not options.get("rate"):  # else it is as many as were asked for
            metrics["per_second"] = result.arrived / result.publishing
        return metrics, result


class Clock:
    """The processor time that servers and load use from now on."""

    def __init__(self, servers: list[int], load: list[int]) -> None:
        self._servers, self._load = servers, load
        self._began = machine.cpu_seconds(servers), machine.cpu_seconds(load)

    def stop(self) -> tuple[float, float]:
        """Seconds of the servers, and of the load."""
        servers, load = self._began
        return machine.cpu_seconds(self._servers) - servers, machine.cpu_seconds(self._load) - load
