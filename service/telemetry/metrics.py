"""Loa's Prometheus metrics."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from service.common import tasks
from service.common.close_reasons import CLOSE_REASONS, CLOSED_BY_PEER
from service.telemetry import multiprocess
from service.telemetry.gauges import Gauges, GaugeSources

OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
FRAMES = frozenset({"send_message", "read", "typing", "sync", "watch_presence", "watch_posts", "authenticate", "ping"})
EVENTS = frozenset(
    {
        *("new_message", "message_updated", "read", "typing", "presence"),
        *("conversation_updated", "conversation_removed", "announcement"),
        *("NEW_COMMENT", "NEW_REPLY", "unread_count"),
    }
)
REASONS = frozenset(
    {
        CLOSED_BY_PEER,
        *(reason for _, reason in CLOSE_REASONS),
        "token_missing",
        "token_invalid",
        "banned",
        "rate_limited",
    }
)
ERROR_KINDS = frozenset(
    {
        *("AutoReconnect", "ConnectionFailure", "NetworkTimeout", "NotPrimaryError", "ServerSelectionTimeoutError"),
        *("WaitQueueTimeoutError", "ExecutionTimeout", "WriteConcernError"),
        *("ConnectionError", "TimeoutError", "BusyLoadingError", "ReadOnlyError", "OutOfMemoryError"),
    }
)
"""Exceptions that the drivers raise if a datastore is unavailable. Each has its own cause and remedy."""

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

T = TypeVar("T")


class Sample(NamedTuple):
    """One value. `metric` is the metric it belongs to: `loa_ack_seconds` for the sample `loa_ack_seconds_count`."""

    metric: str
    name: str
    labels: dict[str, str]
    value: float


class Metrics:
    """All metrics of this process. Label values come from fixed sets; anything else counts as "other", so that clients
    cannot create series.

    Recording costs one or two microseconds, so it is done once per event or batch, never per delivery. Gauges are read
    periodically instead (`set_gauge_sources`) and cost the message path nothing.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        # Memory, CPU time and open files of this process. Metrics summed over several processes lack them.
        ProcessCollector(registry=registry)
        self._gauge_sources: GaugeSources | None = None
        self._gauges: Gauges | None = None
        self._gauge_updates: asyncio.Task[None] | None = None
        self._requests = Counter(
            "loa_http_requests", "HTTP requests answered.", ["method", "route", "status"], registry=registry
        )
        self._latency = Histogram(
            "loa_http_request_seconds",
            "Seconds from the end of a request's headers to the start of its response.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._recorders: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        """By method, route and status: how to count a request, and its seconds."""
        # The label look-up takes the library as long as counting, so it is done once, here.
        frames = Counter("loa_frames", "Frames received on chat sockets.", ["type"], registry=registry)
        self._frames = {type: frames.labels(type) for type in (*FRAMES, OTHER)}
        events = Counter("loa_events", "Events published.", ["type"], registry=registry)
        self._events = {type: events.labels(type) for type in (*EVENTS, OTHER)}
        self._closed = Counter("loa_connections_closed", "Connections closed.", ["feed", "reason"], registry=registry)
        self._resumes = Counter(
            "loa_resumes", "Reconnections that asked for missed events.", ["feed", "outcome"], registry=registry
        )
        self._overflows = Counter(
            "loa_queue_overflows",
            "Connections with a full queue: closed, or sent a reset once they caught up.",
            ["feed", "cause"],
            registry=registry,
        )
        self._errors = Counter(
            "loa_datastore_errors",
            "Requests and frames that failed because a datastore was unavailable.",
            ["store", "kind"],
            registry=registry,
        )
        self._task_failures = Counter("loa_task_failures", "Failures of background tasks.", ["task"], registry=registry)
        self._batches = Histogram(
            "loa_commit_batch", "Documents in one write.", ["collection"], buckets=BATCH_BUCKETS, registry=registry
        )
        self.ack_seconds = Histogram(
            "loa_ack_seconds",
            "Seconds from receiving a message on a socket to its ack, after it was stored.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._webhook_attempts = Counter(
            "loa_webhook_attempts", "Attempts to deliver a webhook.", ["outcome"], registry=registry
        )
        self._push_attempts = Counter(
            "loa_push_attempts", "Attempts to push to a browser.", ["outcome"], registry=registry
        )
        self._uploads = Counter("loa_attachment_uploads", "Files uploaded.", ["outcome"], registry=registry)
        self.image_seconds = Histogram(
            "loa_image_seconds",
            "Seconds that the process of an uploaded image took.",
            buckets=(*LATENCY_BUCKETS, 10.0, 20.0, 45.0),
            registry=registry,
        )
        self.bus_gaps = Counter("loa_bus_gaps", "Times that messages on the bus may have been lost.", registry=registry)

    def request_finished(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request. `route`: the path template; None if no route matched."""
        method = method if method in METHODS else OTHER
        route = route or OTHER
        key = method, route, status
        recorders = self._recorders.get(key)
        if recorders is None:
            # The label look-up takes the library as long as counting.
            count, latency = self._requests.labels(method, route, str(status)), self._latency.labels(method, route)
            recorders = self._recorders[key] = count.inc, latency.observe
        count_one, observe = recorders
        count_one()
        observe(seconds)

    def frame_received(self, type: str) -> None:
        (self._frames.get(type) or self._frames[OTHER]).inc()

    def event_published(self, type: str) -> None:
        (self._events.get(type) or self._events[OTHER]).inc()

    def connection_closed(self, feed: str, reason: str, dropped: int = 0) -> None:
        """Count a closed connection. `dropped`: ephemeral events that its queue dropped."""
        self._closed.labels(feed, reason if reason in REASONS else OTHER).inc()
        if self._gauges and dropped:
            self._gauges.connection_closed(dropped)

    def queue_overflowed(self, feed: str, cause: str) -> None:
        """Count a full queue. `cause`: the limit that was reached, "events" or "bytes"."""
        self._overflows.labels(feed, cause).inc()

    def resumed(self, feed: str, ok: bool) -> None:
        """Count a connection that asked for missed events and received them (`ok`) or a `reset`."""
        self._resumes.labels(feed, "ok" if ok else "reset").inc()

    def batch_committed(self, collection: str, batch: int) -> None:
        """Record the number of documents in one write."""
        self._batches.labels(collection).observe(batch)

    def datastore_failed(self, store: str, error: BaseException) -> None:
        """Count an outage that a request or frame met. `store`: "mongodb" or "redis"."""
        kind = type(error).__name__
        self._errors.labels(store, kind if kind in ERROR_KINDS else OTHER).inc()

    def push_attempted(self, outcome: str) -> None:
        """Count an attempt. `outcome`: one of `service.push.sender.Outcome`, or `dropped`."""
        self._push_attempts.labels(outcome).inc()

    def attachment_uploaded(self, outcome: str) -> None:
        """Count an upload. `outcome`: `stored`, `refused`, `failed`, or `broken_off` by the client."""
        self._uploads.labels(outcome).inc()

    def webhook_attempted(self, outcome: str) -> None:
        """Count an attempt. `outcome`: one of `service.webhooks.sender.Outcome`."""
        self._webhook_attempts.labels(outcome).inc()

    def task_failed(self, name: str) -> None:
        """Count a failed background task. `name`: see `tasks.count_failure`."""
        self._task_failures.labels(name).inc()

    def set_gauge_sources(self, sources: GaugeSources) -> None:
        """From `start` on, read the gauges from `sources` every few seconds and at each scrape."""
        self._gauge_sources = sources

    async def start(self) -> None:
        tasks.on_failure(self.task_failed)
        # Not earlier: the process that starts the workers creates an app, too, and its gauges would be counted.
        if self._gauge_sources:
            self._gauges = Gauges(self._gauge_sources, self._registry)
            self._gauge_updates = asyncio.create_task(self._gauges.update_forever())

    async def close(self) -> None:
        tasks.remove_on_failure(self.task_failed)
        await tasks.cancel_and_wait(self._gauge_updates)
        multiprocess.remove_this_process()

    async def exposition(self) -> bytes:
        """Return the metrics of all processes that share theirs, in Prometheus's text format."""
        return await self._read(generate_latest)

    async def samples(self) -> list[Sample]:
        """Return Loa's own metrics of all processes that share theirs, as numbers."""
        return await self._read(_samples)

    async def _read(self, render: Callable[[CollectorRegistry], T]) -> T:
        if self._gauges:
            self._gauges.update()
        # Reading the files of many workers takes a while and would block the event loop.
        return await asyncio.to_thread(lambda: multiprocess.read(render) or render(self._registry))


def _samples(registry: CollectorRegistry) -> list[Sample]:
    return [
        Sample(metric.name, sample.name, sample.labels, sample.value)
        for metric in registry.collect()
        if metric.name.startswith("loa_")
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]
