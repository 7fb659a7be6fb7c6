"""What Loa counts, for Prometheus."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from service.common import tasks
from service.telemetry import multiprocess
from service.telemetry.gauges import Gauges, State

OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
FRAMES = frozenset({"send_message", "read", "typing", "sync", "watch_presence", "authenticate", "ping"})
EVENTS = frozenset(
    {
        *("new_message", "message_updated", "read", "typing", "presence"),
        *("conversation_updated", "conversation_removed", "announcement"),
        *("NEW_COMMENT", "NEW_REPLY", "unread_count"),
    }
)
REASONS = frozenset(
    {
        *("closed", "gone", "silent", "restart", "internal_error", "slow_consumer", "overloaded", "rate_limited"),
        *("token_missing", "token_invalid", "token_expired", "token_revoked", "unavailable"),
        *("protocol_error", "not_utf8", "text_only", "too_large"),
    }
)
KINDS = frozenset(
    {
        *("AutoReconnect", "ConnectionFailure", "NetworkTimeout", "NotPrimaryError", "ServerSelectionTimeoutError"),
        *("WaitQueueTimeoutError", "ExecutionTimeout", "WriteConcernError"),
        *("ConnectionError", "TimeoutError", "BusyLoadingError", "ReadOnlyError", "OutOfMemoryError"),
    }
)
"""What the drivers raise where a datastore is away: each is another cause, and another thing to do."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


Read = TypeVar("Read")


class Sample(NamedTuple):
    """`metric` is what it belongs to: of `loa_ack_seconds_count` that is `loa_ack_seconds`."""

    metric: str
    name: str
    labels: dict[str, str]
    value: float


class Metrics:
    """The instruments, by name. Labels come from fixed sets: whatever else a client sends is counted as "other".

    Each costs a microsecond or two, so it is called once for an event or a batch and never for a delivery. What is a
    state and not an event is looked at now and then instead (`watch`), which costs the path of a message nothing.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        # Memory, processor time and open files of this process; they are left out where several are added up.
        ProcessCollector(registry=registry)
        self._state: State | None = None
        self._gauges: Gauges | None = None
        self._sampler: asyncio.Task[None] | None = None
        self._requests = Counter(
            "loa_http_requests", "HTTP requests answered.", ["method", "route", "status"], registry=registry
        )
        self._latency = Histogram(
            "loa_http_request_seconds",
            "From the end of a request's head to the beginning of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        # Looked up by label here, once, for the library takes as long for that as for counting.
        frames = Counter("loa_frames", "Frames received on chat sockets.", ["type"], registry=registry)
        self._frames = {type: frames.labels(type) for type in (*FRAMES, OTHER)}
        events = Counter("loa_events", "Events published.", ["type"], registry=registry)
        self._events = {type: events.labels(type) for type in (*EVENTS, OTHER)}
        self._closed = Counter("loa_connections_closed", "Connections ended.", ["feed", "reason"], registry=registry)
        self._resumes = Counter("loa_resumes", "Connections that came back.", ["feed", "outcome"], registry=registry)
        self._overflows = Counter(
            "loa_queue_overflows", "Queues that a durable event found full.", ["feed", "cause"], registry=registry
        )
        self._errors = Counter(
            "loa_datastore_errors", "Requests and frames that found it away.", ["store", "kind"], registry=registry
        )
        self._task_failures = Counter(
            "loa_task_failures", "Failures in the background, where nobody waits.", ["task"], registry=registry
        )
        self._batches = Histogram(
            "loa_commit_batch", "Appends in one write.", ["collection"], buckets=SIZES, registry=registry
        )
        self.ack_seconds = Histogram(
            "loa_ack_seconds",
            "From a message's frame to its ack, durably stored.",
            buckets=SECONDS,
            registry=registry,
        )
        self.bus_gaps = Counter("loa_bus_gaps", "Times that others may not have been heard.", registry=registry)

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """`route`: the template of the path; None where no route was meant."""
        method = method if method in METHODS else OTHER
        route = route or OTHER
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(seconds)

    def frame_received(self, type: str) -> None:
        (self._frames.get(type) or self._frames[OTHER]).inc()

    def event_published(self, type: str) -> None:
        (self._events.get(type) or self._events[OTHER]).inc()

    def connection_closed(self, feed: str, reason: str, dropped: int = 0) -> None:
        """`slow_consumer` is a queue that overflowed; `dropped`: ephemeral events that it had no room for."""
        self._closed.labels(feed, reason if reason in REASONS else OTHER).inc()
        if self._gauges and dropped:
            self._gauges.closed(dropped)

    def overflowed(self, feed: str, cause: str) -> None:
        """`cause`: which bound of the queue it was, "events" or "bytes"."""
        self._overflows.labels(feed, cause).inc()

    def resumed(self, feed: str, ok: bool) -> None:
        """A connection asked for what it missed, and got it (`ok`) or a `reset`."""
        self._resumes.labels(feed, "ok" if ok else "reset").inc()

    def committed(self, collection: str, batch: int) -> None:
        self._batches.labels(collection).observe(batch)

    def datastore_failed(self, store: str, error: BaseException) -> None:
        """`store`: "mongodb" or "redis"."""
        kind = type(error).__name__
        self._errors.labels(store, kind if kind in KINDS else OTHER).inc()

    def task_failed(self, name: str) -> None:
        """`name`: see `tasks.count_failure`."""
        self._task_failures.labels(name).inc()

    def watch(self, state: State) -> None:
        """From `start` on, look at `state` every few seconds and at each scrape."""
        self._state = state

    async def start(self) -> None:
        tasks.on_failure(self.task_failed)
        # Not before: the process that only starts the workers makes an app too, and its gauges would count as well.
        if self._state:
            self._gauges = Gauges(self._state, self._registry)
            self._sampler = asyncio.create_task(self._gauges.sample_forever())

    async def close(self) -> None:
        tasks.remove_on_failure(self.task_failed)
        await tasks.cancel_and_wait(self._sampler)
        multiprocess.forget_this_process()

    async def exposition(self) -> bytes:
        """Everything, of all the processes that share their metrics, in Prometheus's text format."""
        return await self._read(generate_latest)

    async def samples(self) -> list[Sample]:
        """Our own, of all those processes, as numbers."""
        return await self._read(_samples)

    async def _read(self, form: Callable[[CollectorRegistry], Read]) -> Read:
        if self._gauges:
            self._gauges.sample()
        # Reading the files of many workers takes a while, in which this process can do something else.
        return await asyncio.to_thread(lambda: multiprocess.read(form) or form(self._registry))


def _samples(registry: CollectorRegistry) -> list[Sample]:
    return [
        Sample(metric.name, sample.name, sample.labels, sample.value)
        for metric in registry.collect()
        if metric.name.startswith("loa_")
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]
