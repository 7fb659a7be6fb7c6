"""Traces from socket to datastore, exported by OpenTelemetry if an endpoint is configured.

Spans carry names and ids, never content or credentials. A context variable holds the span that the running code belongs
to; without tracing it is always None, and reading it is the only cost.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

SERVICE_NAME = "loa"
SHUTDOWN_TIMEOUT = 3.0
"""Seconds that a stopping process waits for the last spans to be exported."""

Attributes = Mapping[str, str | int | float | bool]
"""Named by OpenTelemetry's semantic conventions; our own names begin with `loa.`."""


class Span:
    """A span that has started. It may be ended by another task than the one that started it."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: "trace.Tracer", span: "trace.Span") -> None:
        self._tracer = tracer
        self._span = span

    def start_child(self, name: str, attributes: Attributes | None = None, links: "Sequence[Span]" = ()) -> "Span":
        """Start a child span. `links`: spans of other traces that it works for, too."""
        from opentelemetry import trace

        span = self._tracer.start_span(
            name,
            trace.set_span_in_context(self._span),
            attributes=attributes,
            links=[trace.Link(other._span.get_span_context()) for other in links],
        )
        return Span(self._tracer, span)

    def set_attributes(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, error: BaseException | str | None = None) -> None:
        """End the span. `error`: an error code, or an exception, of which only the class name is recorded."""
        if error is not None:
            from opentelemetry.trace import StatusCode

            kind = error if isinstance(error, str) else type(error).__name__
            self._span.set_status(StatusCode.ERROR, kind)
        self._span.end()


CURRENT_SPAN: ContextVar[Span | None] = ContextVar("loa_span", default=None)


@contextmanager
def use_span(span: Span, *, end_on_exit: bool = True) -> Iterator[None]:
    """Make `span` the current one within the block and end it afterwards.

    With `end_on_exit=False` only an exception ends it; otherwise the caller ends it later.
    """
    token = CURRENT_SPAN.set(span)
    try:
        yield
    except BaseException as error:
        span.end(error)
        raise
    else:
        if end_on_exit:
            span.end()
    finally:
        CURRENT_SPAN.reset(token)


class Tracing:
    """Starts traces. OpenTelemetry's own environment variables (`OTEL_…`) configure the export."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer | None = None

    async def start(self) -> None:
        # Imported here because the exporter starts a thread and a process without tracing needs none of this.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource({"service.name": SERVICE_NAME}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE_NAME)

    async def close(self) -> None:
        if self._provider:
            # A daemon thread: if the collector is unreachable, the provider's own timeout is longer than ours.
            shutdown = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
            shutdown.start()
            await asyncio.to_thread(shutdown.join, SHUTDOWN_TIMEOUT)

    def start_trace(self, name: str, attributes: Attributes | None = None) -> Span | None:
        """Start the root span of a new trace. Returns None before `start`."""
        if self._tracer is None:
            return None
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(name, Context(), kind=SpanKind.SERVER, attributes=attributes)
        return Span(self._tracer, span)
