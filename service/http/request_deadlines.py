"""Deadlines for each phase of a request, against clients that send or read very slowly.

Sanic's own timeouts restart with every byte, so that one byte now and then keeps a connection open for ever.
"""

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import structlog
from sanic.exceptions import RequestTimeout, ServiceUnavailable
from sanic.http.constants import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

log = structlog.get_logger()

Phase = Literal["idle", "head", "body", "response"]

DEADLINES: dict[Phase, float] = {"idle": 5.0, "head": 20.0, "body": 30.0, "response": 90.0}
"""Seconds. A head has at most 8 KiB and a body 64 KiB: that is 2 KiB a second, which a phone with poor reception has. A
handler responds within Sanic's 60 s; the rest is for reading the longest response. `idle` means between requests, where
Sanic's KEEP_ALIVE_TIMEOUT applies, which received bytes do not extend. This deadline is only for connections beyond
MAX_IDLE, and leaves the thousand clients that reconnect after a restart the time to send a request."""
MAX_IDLE = 1000
"""Idle connections per process; a proxy in front has one or two hundred. Sockets and streams do not count: they are no
longer among Sanic's connections."""
CHECK_INTERVAL = 1.0
"""Seconds between two checks of all connections."""


def is_self_timed(request: Any) -> bool:
    """Return whether the handler of `request` limits the time of a transfer itself (`self_timed`)."""
    return getattr(getattr(request, "ctx", None), "self_timed", False)


@contextmanager
def self_timed(request: Any) -> Iterator[None]:
    """Except `request` from the deadlines while the block runs: it transfers a file, which takes as long as it takes.
    The block has to time out itself if the client makes no progress."""
    request.ctx.self_timed = True
    try:
        yield
    finally:
        request.ctx.self_timed = False


class _Observation(NamedTuple):
    phase: Phase
    request: Any
    since: float
    received: int


class RequestDeadlines:
    """Checks all of Sanic's connections periodically, so that a request itself costs nothing more."""

    def __init__(
        self, connections: Collection[HttpProtocol], deadlines: dict[Phase, float] = DEADLINES, max_idle: int = MAX_IDLE
    ) -> None:
        """`connections`: the open connections, as Sanic's server keeps them."""
        self._connections = connections
        self._deadlines = deadlines
        self._max_idle = max_idle
        self._observations: dict[HttpProtocol, _Observation] = {}

    async def run(self, interval: float = CHECK_INTERVAL) -> None:
        """Check every `interval` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval)
            self.check(time.monotonic())

    def check(self, now: float) -> None:
        """Abort connections that exceed the deadline of their phase and, if too many are idle, the longest idle ones.

        `now`: of `time.monotonic`, which Sanic also uses for `_time`, the time of the last byte.
        """
        previous, self._observations = self._observations, {}
        late: list[HttpProtocol] = []
        idle: list[HttpProtocol] = []
        for protocol in self._connections:
            http: Any = protocol.http
            if http is None or is_self_timed(http.request):
                continue
            phase, received = _phase(protocol, http), len(http.recv_buffer)
            observation = previous.get(protocol)
            if not observation or not _same_phase(observation, phase, http.request, received):
                observation = _Observation(phase, http.request, now, received)
            self._observations[protocol] = observation._replace(received=received)
            if phase == "idle":
                idle.append(protocol)
            elif now - observation.since >= self._deadlines[phase]:
                late.append(protocol)
        for protocol in late:
            _abort(protocol, self._observations[protocol].phase)
        idle.sort(key=lambda protocol: protocol._time)
        surplus = idle[: max(0, len(idle) - self._max_idle)]
        surplus = [protocol for protocol in surplus if now - protocol._time >= self._deadlines["idle"]]
        for protocol in surplus:
            protocol.close()
        if late or surplus:
            log.warning("slow_clients_aborted", slow=len(late), idle=len(surplus))


def _phase(protocol: HttpProtocol, http: Any) -> Phase:
    if not protocol._can_write.is_set():
        # Sanic has written everything, but the client does not read it.
        return "response"
    if http.stage is Stage.REQUEST:
        return "head"
    if getattr(http, "request_body", None):
        # Also after the response, while the rest of the body is read and discarded.
        return "body"
    return "idle" if http.stage is Stage.IDLE else "response"


def _same_phase(observation: _Observation, phase: Phase, request: Any, received: int) -> bool:
    """Return whether this is still the same phase of the same request. In the phase `head` there is no request object,
    but the number of received bytes only grows."""
    return (
        observation.phase == phase
        and observation.request is request
        and (phase != "head" or received >= observation.received)
    )


def _abort(protocol: HttpProtocol, phase: Phase) -> None:
    """End the request like Sanic's own timeouts: with 408 (RFC 9110, 15.5.9) or 503 if a response is still possible."""
    http: Any = protocol.http
    task = protocol._task
    if task is None:
        return
    if http.stage in (Stage.RESPONSE, Stage.FAILED) or not protocol._can_write.is_set():
        # The client does not read: a response would not arrive.
        protocol.abort()  # type: ignore[no-untyped-call]
        return
    http.exception = ServiceUnavailable() if phase == "response" else RequestTimeout()
    task.cancel()
