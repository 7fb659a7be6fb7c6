"""Logging: one line per event, as JSON, or coloured on a terminal."""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.telemetry.exceptions import describe, scrub

LIBRARY_LEVELS = {
    # Sanic's request log contains URLs with tokens; service/http/request_log.py replaces it.
    "sanic.access": logging.CRITICAL,
    # Sanic logs each step of its start and stop, and each client that disconnects.
    "sanic.root": logging.WARNING,
    "sanic.server": logging.WARNING,
    "asyncio": logging.WARNING,
    # At DEBUG, it logs the headers and the address of each request to another site.
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "pymongo": logging.WARNING,
    "websockets": logging.WARNING,
}
"""Loggers of libraries, and the level from which their lines matter to an operator."""


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr` instead of that at configuration time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _Lines:
    """Where structlog writes its lines. A record of the standard library for each, with the place of the call and the
    thread, would take as long as all the rest."""

    @staticmethod
    def write(line: str) -> None:
        # What cannot be logged fails no request: the disk is full, or nobody reads the pipe any more.
        with suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = write


def configure(level: str) -> None:
    """Send the logs of Loa and all libraries to stderr in one format. `level`: DEBUG, INFO, WARNING or ERROR.

    Call it in each process before the app is created with `configure_logging=False`. It may be called again.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception,
    ]
    lines, renderer = _Lines(), _renderer()
    structlog.configure(
        processors=[*shared, _in_order, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _scrub_message],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _in_order, renderer],
        )
    )
    root = logging.getLogger()
    # Keep the handlers of a test runner or an embedding program.
    root.handlers = [other for other in root.handlers if type(other) not in (_Stderr, logging.StreamHandler)]
    root.addHandler(handler)
    root.setLevel(level)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("sanic")]:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name, minimum in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(minimum, logging.getLevelNamesMapping()[level]))


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    # The standard library's JSON escapes: the log has to accept text that cannot be encoded as UTF-8.
    return structlog.processors.JSONRenderer()


def _in_order(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Put timestamp, level and event first."""
    return {key: event[key] for key in ("timestamp", "level", "event") if key in event} | dict(event)


def _exception(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the text `exception`, also in records of libraries, whose own text may quote input."""
    info: Any = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else (sys.exc_info() if info is True else info)[1]
        if error is not None:
            event["exception"] = describe(error)
    return event


def _scrub_message(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Remove credentials: Sanic logs URLs with their query."""
    event["event"] = scrub(str(event["event"]))
    return event
