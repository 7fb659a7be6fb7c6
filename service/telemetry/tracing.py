"""Traces, from socket to datastore: sent by OpenTelemetry where it is told where to, and otherwise not there.

Spans carry names and ids, and nothing that anyone wrote or signs in with. Which span something belongs to goes along in
a context variable: where nobody traces it is None, and looking at it is all that tracing costs.
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

NAME = "loa"
LAST_WORDS = 3.0
"""Seconds that the end of a process waits for the last spans to be taken."""

Attributes = Mapping[str, str | int | float | bool]
"""By the names of OpenTelemetry's semantic conventions, and of our own, which begin with `loa.`."""


class Span:
    """One step of something, under way. `end` may come from another task than its beginning."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: "trace.Tracer", span: "trace.Span") -> None:
        self._tracer = tracer
        self._span = span

    def child(self, name: str, attributes: Attributes | None = None, links: "Sequence[Span]" = ()) -> "Span":
        """A step of this one. `links`: spans of others that it also works for."""
        from opentelemetry import trace

        span = self._tracer.start_span(
            name,
            trace.set_span_in_context(self._span),
            attributes=attributes,
            links=[trace.Link(other._span.get_span_context()) for other in links],
        )
        return Span(self._tracer, span)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, error: BaseException | str | None = None) -> None:
        """`error`: what it failed with; only its kind is kept."""
        if error is not None:
            from opentelemetry.trace import StatusCode

            kind = error if isinstance(error, str) else type(error).__name__
            self._span.set_status(StatusCode.ERROR, kind)
        self._span.end()


CURRENT: ContextVar[Span | None] = ContextVar("loa_span", default=None)


@contextmanager
def inside(span: Span) -> Iterator[None]:
    """What runs in the block belongs to `span`, which goes on after it."""
    token = CURRENT.set(span)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextmanager
def step(span: Span) -> Iterator[None]:
    """`inside`, and `span` ends with the block."""
    error: BaseException | None = None
    try:
        with inside(span):
            yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        span.end(error)


@contextmanager
def begun(span: Span) -> Iterator[None]:
    """As `step`, but where nothing fails in the block `span` goes on, and is ended by who answers later."""
    try:
        with inside(span):
            yield
    except BaseException as error:
        span.end(error)
        raise


class Tracing:
    """Where traces begin. It is told where to send them, and how, by OpenTelemetry's own variables (`OTEL_…`)."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer | None = None

    async def start(self) -> None:
        # Not before: it starts a thread, and whoever does not trace needs none of this.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = Resource({"service.name": NAME}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(NAME)

    async def close(self) -> None:
        if self._provider:
            # A thread that nobody waits for: its own patience with a receiver that is away is longer than ours.
            ending = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
            ending.start()
            await asyncio.to_thread(ending.join, LAST_WORDS)

    def begin(self, name: str, attributes: Attributes | None = None) -> Span | None:
        """The first span of a trace; None before `start`."""
        if self._tracer is None:
            return None
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(name, Context(), kind=SpanKind.SERVER, attributes=attributes)
        return Span(self._tracer, span)
