"""The load clients: many connections to one server, driven by `clients.c`."""

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from tests.load.histogram import BUCKETS, Histogram
from tests.load.native import build
from tests.load.wire import HEAD_ENDS, PONG, Address, Template

MAX_OPENING = 500
"""Connections that are opened at the same time: no server here has a shorter listen queue unless it chooses to."""
UNBOUNDED = 1 << 14
"""Messages in flight if only something else bounds them."""
ARRIVAL_TIMEOUT = 30.0
"""Seconds after which a missing message counts as lost."""


class Role(IntEnum):
    LISTENER = 0
    """Its messages are counted."""
    UNCOUNTED = 1
    """It is connected, and what it receives is not counted."""
    CALLER = 2
    """It publishes by HTTP requests, and waits for each response before the next. If there are no listeners, responses
    are counted."""


class RunFailed(Exception):
    """A message did not arrive, or a connection was refused or lost. The message says what was seen."""


class Plan(ctypes.Structure):
    """The same structure as in `clients.c`, which explains the fields."""

    _fields_ = (
        ("first", ctypes.c_int),
        ("count", ctypes.c_int),
        ("max_opening", ctypes.c_int),
        ("publishers", ctypes.POINTER(ctypes.c_int)),
        ("publisher_count", ctypes.c_int),
        ("window", ctypes.c_int),
        ("per_publisher", ctypes.c_int),
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
        ("duplicates", ctypes.c_int64),
        ("latency", ctypes.c_uint64 * BUCKETS),
        ("opened", ctypes.c_uint64 * BUCKETS),
    )


class Result(NamedTuple):
    """`opening` and `publishing` are seconds. `latency` is that of each arrival, `opened` that of each connection."""

    opening: float
    publishing: float
    complete: int
    arrived: int
    latency: Histogram
    opened: Histogram


@dataclass
class Traffic:
    """How clients connect to a server and publish on it.

    `listeners` and `joiners` are requests. `publishers` are (request, payload); one with a request is an uncounted
    WebSocket, one without is an HTTP caller. A connection sends `after` once the response head has arrived, and is
    ready when it has received `ready`.
    """

    listeners: Sequence[bytes]
    publishers: Sequence[tuple[bytes, bytes]] = ()
    joiners: Sequence[bytes] = ()
    ready: bytes = HEAD_ENDS
    after: bytes = b""
    keepalive: bytes = PONG
    answers: bool = False
    """The publishers are the listeners, each of the response to its own messages."""


Progress = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double)


class Clients:
    """Connections to one server according to `traffic`. A context manager that closes all of them at the end."""

    def __init__(self, library: ctypes.CDLL, address: Address, traffic: Traffic, tick: Callable[[], None]) -> None:
        """`tick` is called a few times a second."""
        self._library = library
        self._traffic = traffic
        self._tick = tick
        self._buffers: list[Any] = []
        capacity = len(traffic.listeners) + len(traffic.joiners) + len(traffic.publishers)
        host, port = address
        self._load = library.load_new(host.encode(), port, capacity, traffic.keepalive, len(traffic.keepalive))
        for request in traffic.listeners:
            self._add(Role.LISTENER, request)
        publishers = [self._add_publisher(request, payload) for request, payload in traffic.publishers]
        self._publishers = (ctypes.c_int * len(publishers))(*publishers)
        self._first = len(traffic.listeners) + len(publishers)
        for request in traffic.joiners:
            self._add(Role.UNCOUNTED, request)
        self.expect = 1 if traffic.answers else len(traffic.listeners)

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *_: object) -> None:
        self._library.load_close(self._load)

    def open(self) -> Result:
        """Open the listeners and publishers. Raises RunFailed."""
        return self._run(
            Plan(first=0, count=self._first, max_opening=MAX_OPENING, limit=ARRIVAL_TIMEOUT + self._first / 100)
        )

    def join(self) -> Result:
        """Open the joiners. Raises RunFailed."""
        count = len(self._traffic.joiners)
        limit = ARRIVAL_TIMEOUT + count / 100
        return self._run(Plan(first=self._first, count=count, max_opening=MAX_OPENING, limit=limit))

    def receive(self, seconds: float) -> Result:
        """Only receive for `seconds`. Raises RunFailed."""
        return self._run(Plan(seconds=seconds, limit=seconds + ARRIVAL_TIMEOUT))

    def publish(self, seconds: float, *, window: int = UNBOUNDED, rate: float = 0) -> Result:
        """Publish for `seconds`, and wait until everything has arrived.

        At most `window` messages are in flight, from sending until the last listener has received them. With `rate`,
        that many messages a second are sent, however many are in flight. Raises RunFailed.
        """
        return self._run(self._publishing(seconds, window=window, rate=rate))

    def storm(self, rate: float, seconds: float) -> Result:
        """Open the joiners while the publishers publish, for at least `seconds`. Raises RunFailed."""
        plan = self._publishing(seconds, rate=rate)
        plan.first, plan.count, plan.max_opening = self._first, len(self._traffic.joiners), MAX_OPENING
        plan.limit += plan.count / 50
        return self._run(plan)

    def _publishing(self, seconds: float, *, window: int = UNBOUNDED, rate: float = 0) -> Plan:
        return Plan(
            publishers=self._publishers,
            publisher_count=len(self._publishers),
            window=window,
            per_publisher=1 if self._traffic.answers or self._calls else UNBOUNDED,
            expect=self.expect,
            rate=rate,
            seconds=seconds,
            limit=seconds + ARRIVAL_TIMEOUT,
        )

    @property
    def _calls(self) -> bool:
        return any(not request for request, _ in self._traffic.publishers)

    def _run(self, plan: Plan) -> Result:
        raw = RawResult()
        interruption: list[BaseException] = []

        def tick(_: float) -> int:
            try:
                self._tick()
            except BaseException as error:
                # ctypes would only print an exception.
                interruption.append(error)
            return len(interruption)

        with _deferred_signals(interruption):
            self._library.load_run(self._load, ctypes.byref(plan), ctypes.byref(raw), Progress(tick))
        if interruption:
            raise interruption[0]
        error = raw.error.decode(errors="replace").splitlines()
        if raw.status:
            raise RunFailed(error[0] if error else f"{raw.sent - raw.complete} messages did not reach everyone in time")
        if raw.duplicates:
            raise RunFailed(f"{raw.duplicates} messages arrived twice")
        return Result(
            raw.opening, raw.publishing, raw.complete, raw.arrived, Histogram.of(raw.latency), Histogram.of(raw.opened)
        )

    def _add_publisher(self, request: bytes, payload: bytes) -> int:
        role = Role.LISTENER if self._traffic.answers else Role.UNCOUNTED if request else Role.CALLER
        index = self._add(role, request)
        template = Template.of(payload)
        offsets = (ctypes.c_int * len(template.offsets))(*template.offsets)
        self._library.load_set_payload(self._load, index, template.data, len(template.data), offsets, len(offsets))
        return index

    def _add(self, role: Role, request: bytes) -> int:
        # A caller is ready as soon as it is connected.
        ready = b"" if role is Role.CALLER else self._traffic.ready
        after = b"" if role is Role.CALLER else self._traffic.after
        self._buffers += (request, ready, after)
        return int(
            self._library.load_add(self._load, int(role), request, len(request), ready, len(ready), after, len(after))
        )


@contextmanager
def _deferred_signals(interruption: list[BaseException]) -> Iterator[None]:
    """Collect signals while C code runs: an exception raised on the way into a callback would be lost in ctypes.

    Only the main thread gets any."""
    main = threading.current_thread() is threading.main_thread()
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if main and callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda *_: interruption.append(KeyboardInterrupt())) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def load_library(directory: Path) -> ctypes.CDLL:
    """Build `clients.c` into `directory` if it is not there yet, and load it. Raises BuildError."""
    library = ctypes.CDLL(str(build("clients.c", directory, "-shared", "-fPIC")))
    pointer, data, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.load_new.argtypes = (data, number, number, data, number)
    library.load_new.restype = pointer
    library.load_add.argtypes = (pointer, number, data, number, data, number, data, number)
    library.load_set_payload.argtypes = (pointer, number, data, number, ctypes.POINTER(number), number)
    library.load_run.argtypes = (pointer, ctypes.POINTER(Plan), ctypes.POINTER(RawResult), Progress)
    library.load_close.argtypes = (pointer,)
    for void in (library.load_set_payload, library.load_run, library.load_close):
        void.restype = None
    return library
