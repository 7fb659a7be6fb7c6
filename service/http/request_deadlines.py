"""Clients that take their time: each phase of a request has an end, however slowly its bytes trickle in.

Sanic's own timeouts begin anew with every byte, so one byte now and then keeps a connection for ever.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import structlog
from sanic.exceptions import RequestTimeout, ServiceUnavailable
from sanic.http.constants import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

log = structlog.get_logger()

Phase = Literal["idle", "head", "body", "answer"]

LIMITS: dict[Phase, float] = {"idle": 5.0, "head": 20.0, "body": 30.0, "answer": 90.0}
"""Seconds. A head has 8 KiB at most and a body 64 KiB: 2 KiB a second is what a phone at the edge of a network has. An
answer is made within Sanic's 60, and the longest is read in the rest. Idle means between requests, where Sanic's
KEEP_ALIVE_TIMEOUT holds, which no trickle prolongs: this limit is only for those who are too many, and leaves
newcomers, a thousand at once after a restart, the time to ask for something."""
MAX_IDLE = 1000
"""Connections between requests, or before the first, on one process: a proxy in front has a hundred or two. Sockets and
streams are not among them, for those have left Sanic."""
INTERVAL = 1.0
"""Seconds between two looks at all connections."""


class _Seen(NamedTuple):
    phase: Phase
    request: Any
    since: float
    received: int


class RequestDeadlines:
    """Looks at all of Sanic's connections now and then: a request costs nothing more for it."""

    def __init__(
        self, connections: Collection[HttpProtocol], limits: dict[Phase, float] = LIMITS, max_idle: int = MAX_IDLE
    ) -> None:
        """`connections`: those that are open now, as Sanic's server keeps them."""
        self._connections = connections
        self._limits = limits
        self._max_idle = max_idle
        self._seen: dict[HttpProtocol, _Seen] = {}

    async def run(self, interval: float = INTERVAL) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Cut what has been in one phase for too long, and of those that are idle the longest, where they are many.

        `now`: as `time.monotonic`, which Sanic's own `_time` of the last byte is.
        """
        before, self._seen = self._seen, {}
        late: list[HttpProtocol] = []
        idle: list[HttpProtocol] = []
        for protocol in self._connections:
            http: Any = protocol.http
            if http is None:
                continue
            phase, received = _phase(protocol, http), len(http.recv_buffer)
            seen = before.get(protocol)
            if not seen or not _goes_on(seen, phase, http.request, received):
                seen = _Seen(phase, http.request, now, received)
            self._seen[protocol] = seen._replace(received=received)
            if phase == "idle":
                idle.append(protocol)
            elif now - seen.since >= self._limits[phase]:
                late.append(protocol)
        for protocol in late:
            _cut(protocol, self._seen[protocol].phase)
        idle.sort(key=lambda protocol: protocol._time)
        surplus = idle[: max(0, len(idle) - self._max_idle)]
        surplus = [protocol for protocol in surplus if now - protocol._time >= self._limits["idle"]]
        for protocol in surplus:
            protocol.close()
        if late or surplus:
            log.warning("clients_cut", slow=len(late), idle=len(surplus))


def _phase(protocol: HttpProtocol, http: Any) -> Phase:
    if not protocol._can_write.is_set():
        # It is all written, as far as Sanic knows, but the client does not take it.
        return "answer"
    if http.stage is Stage.REQUEST:
        return "head"
    if getattr(http, "request_body", None):
        # Also after the answer, when what is left of the body is read only to be thrown away.
        return "body"
    return "idle" if http.stage is Stage.IDLE else "answer"


def _goes_on(seen: _Seen, phase: Phase, request: Any, received: int) -> bool:
    """Whether it is still the same phase of the same request: a head has none yet, but what came of it only grows."""
    return seen.phase == phase and seen.request is request and (phase != "head" or received >= seen.received)


def _cut(protocol: HttpProtocol, phase: Phase) -> None:
    """End it as Sanic's own timeouts do: with 408 (RFC 9110, 15.5.9), or 503, where an answer can still be given."""
    http: Any = protocol.http
    task = protocol._task
    if task is None:
        return
    if http.stage in (Stage.RESPONSE, Stage.FAILED) or not protocol._can_write.is_set():
        # It is the reader that is slow: nothing more would arrive.
        protocol.abort()  # type: ignore[no-untyped-call]
        return
    http.exception = ServiceUnavailable() if phase == "answer" else RequestTimeout()
    task.cancel()
