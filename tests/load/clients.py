"""The clients: many connections to one server, driven by `clients.c`, one message's arrival like another's."""

import ctypes
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from tests.load.histogram import BUCKETS, Histogram
from tests.load.native import build
from tests.load.wire import HEAD_ENDS, PONG, Address, Template

AT_ONCE = 500
"""Connections being opened: no listening socket here has a shorter queue but by its own choice."""
UNBOUNDED = 1 << 14
"""Messages under way where only something else bounds them."""
PATIENCE = 30.0
"""Seconds after which what has not arrived is lost."""


class Role(IntEnum):
    LISTENER = 0
    """Its messages count."""
    BYSTANDER = 1
    """It is connected, and what it is told does not count."""
    CALLER = 2
    """It publishes by HTTP requests; each has to be answered before the next."""


class RunFailed(Exception):
    """Something did not arrive, or a connection was refused or lost. The message says what was seen."""


class Plan(ctypes.Structure):
    """As in `clients.c`, where each field is explained."""

    _fields_ = (
        ("first", ctypes.c_int),
        ("count", ctypes.c_int),
        ("at_once", ctypes.c_int),
        ("speakers", ctypes.POINTER(ctypes.c_int)),
        ("speaker_count", ctypes.c_int),
        ("window", ctypes.c_int),
        ("each", ctypes.c_int),
        ("expect", ctypes.c_int),
        ("rate", ctypes.c_double),
        ("seconds", ctypes.c_double),
        ("limit", ctypes.c_double),
    )


class RawResult(ctypes.Structure):
    _fields_ = (
        ("status", ctypes.c_int),
        ("error", ctypes.c_char * 256),
        ("opening", ctypes.c_double),
        ("publishing", ctypes.c_double),
        ("sent", ctypes.c_int64),
        ("complete", ctypes.c_int64),
        ("arrived", ctypes.c_int64),
        ("strays", ctypes.c_int64),
        ("latency", ctypes.c_uint64 * BUCKETS),
        ("opened", ctypes.c_uint64 * BUCKETS),
    )


class Result(NamedTuple):
    """`opening`, `publishing`: seconds. `latency`: of each arrival; `opened`: of each connection."""

    opening: float
    publishing: float
    complete: int
    arrived: int
    latency: Histogram
    opened: Histogram


@dataclass
class Traffic:
    """How a server is connected to and published on.

    `listeners` and `bystanders` are requests; `speakers` are (request, what it says), of bystanders on a socket, and
    of callers where the request is empty. `ready`: what a connection has been told when it is ready; `after`: what it
    says once the response's head is there.
    """

    listeners: Sequence[bytes]
    speakers: Sequence[tuple[bytes, bytes]] = ()
    bystanders: Sequence[bytes] = ()
    ready: bytes = HEAD_ENDS
    after: bytes = b""
    keepalive: bytes = PONG
    answers: bool = False
    """The speakers are listeners, each of what answers it alone."""


Progress = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double)


class Clients:
    """Connections to one server, as `traffic` says. A context manager: afterwards all of them are closed."""

    def __init__(self, library: ctypes.CDLL, address: Address, traffic: Traffic, tick: Callable[[], None]) -> None:
        """`tick` is called a few times a second."""
        self._library = library
        self._traffic = traffic
        self._tick = tick
        self._kept: list[Any] = []
        most = len(traffic.listeners) + len(traffic.bystanders) + len(traffic.speakers)
        host, port = address
        self._load = library.load_new(host.encode(), port, most, traffic.keepalive, len(traffic.keepalive))
        for request in traffic.listeners:
            self._add(Role.LISTENER, request)
        speakers = [self._add_speaker(request, says) for request, says in traffic.speakers]
        self._speakers = (ctypes.c_int * len(speakers))(*speakers)
        self._first = len(traffic.listeners) + len(speakers)
        for request in traffic.bystanders:
            self._add(Role.BYSTANDER, request)
        self.expect = 1 if traffic.answers else len(traffic.listeners)

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *_: object) -> None:
        self._library.load_close(self._load)

    def open(self) -> Result:
        """Open the listeners and speakers. Raises RunFailed."""
        return self._run(Plan(first=0, count=self._first, at_once=AT_ONCE, limit=PATIENCE + self._first / 100))

    def publish(self, seconds: float, *, window: int = UNBOUNDED, rate: float = 0) -> Result:
        """Publish for so many seconds, and wait until all has arrived.

        At most `window` messages are under way, from their sending until the last listener has them. `rate`: messages
        a second, whatever is under way. Raises RunFailed.
        """
        return self._run(self._publishing(seconds, window=window, rate=rate))

    def storm(self, rate: float, seconds: float) -> Result:
        """Open the bystanders while the speakers publish, for `seconds` at least. Raises RunFailed."""
        plan = self._publishing(seconds, rate=rate)
        plan.first, plan.count, plan.at_once = self._first, len(self._traffic.bystanders), AT_ONCE
        plan.limit += plan.count / 50
        return self._run(plan)

    def _publishing(self, seconds: float, *, window: int = UNBOUNDED, rate: float = 0) -> Plan:
        return Plan(
            speakers=self._speakers,
            speaker_count=len(self._speakers),
            window=window,
            each=1 if self._traffic.answers or self._calls else UNBOUNDED,
            expect=self.expect,
            rate=rate,
            seconds=seconds,
            limit=seconds + PATIENCE,
        )

    @property
    def _calls(self) -> bool:
        return any(not request for request, _ in self._traffic.speakers)

    def _run(self, plan: Plan) -> Result:
        raw = RawResult()
        interruption: list[BaseException] = []

        def tick(_: float) -> int:
            try:
                self._tick()
            except BaseException as error:
                # ctypes would only print it.
                interruption.append(error)
            return len(interruption)

        with _gathering_signals(interruption):
            self._library.load_run(self._load, ctypes.byref(plan), ctypes.byref(raw), Progress(tick))
        if interruption:
            raise interruption[0]
        said = raw.error.decode(errors="replace").splitlines()
        if raw.status:
            raise RunFailed(said[0] if said else f"{raw.sent - raw.complete} messages did not reach everyone in time")
        if raw.strays:
            raise RunFailed(f"{raw.strays} messages arrived twice")
        return Result(
            raw.opening, raw.publishing, raw.complete, raw.arrived, Histogram.of(raw.latency), Histogram.of(raw.opened)
        )

    def _add_speaker(self, request: bytes, says: bytes) -> int:
        role = Role.LISTENER if self._traffic.answers else Role.BYSTANDER if request else Role.CALLER
        index = self._add(role, request)
        template = Template.of(says)
        places = (ctypes.c_int * len(template.places))(*template.places)
        self._library.load_speak(self._load, index, template.data, len(template.data), places, len(places))
        return index

    def _add(self, role: Role, request: bytes) -> int:
        # A caller is ready as soon as it is connected.
        ready = b"" if role is Role.CALLER else self._traffic.ready
        after = b"" if role is Role.CALLER else self._traffic.after
        self._kept += (request, ready, after)
        return int(
            self._library.load_add(self._load, int(role), request, len(request), ready, len(ready), after, len(after))
        )


@contextmanager
def _gathering_signals(interruption: list[BaseException]) -> Iterator[None]:
    """While C runs, what ends us goes there: raised on the way into a callback, it would get lost in ctypes."""
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda *_: interruption.append(KeyboardInterrupt())) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def load_library(directory: Path) -> ctypes.CDLL:
    """`clients.c`, built into `directory` where it is not there yet. Raises CannotBuild."""
    library = ctypes.CDLL(str(build("clients.c", directory, "-shared", "-fPIC")))
    pointer, data, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.load_new.argtypes = (data, number, number, data, number)
    library.load_new.restype = pointer
    library.load_add.argtypes = (pointer, number, data, number, data, number, data, number)
    library.load_speak.argtypes = (pointer, number, data, number, ctypes.POINTER(number), number)
    library.load_run.argtypes = (pointer, ctypes.POINTER(Plan), ctypes.POINTER(RawResult), Progress)
    library.load_close.argtypes = (pointer,)
    for void in (library.load_speak, library.load_run, library.load_close):
        void.restype = None
    return library
