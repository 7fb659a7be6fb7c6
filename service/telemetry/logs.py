"""The log: one line for each thing that happened, JSON for machines, colours for a terminal."""

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.telemetry.exceptions import describe, scrub

QUIET = {
    # Sanic's line for each request writes the URL with its token; ours is in service/http/request_log.py.
    "sanic.access": logging.CRITICAL,
    # Each step of its start and stop, and each client that went away.
    "sanic.root": logging.WARNING,
    "sanic.server": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
    "pymongo": logging.WARNING,
    "websockets": logging.WARNING,
}
"""Loggers of others, and the level from which what they say matters to an operator."""


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is now, not to what it was when logging was set up."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(level: str) -> None:
    """Send everything, ours and that of every library, to stderr in one form. `level`: DEBUG, INFO, WARNING or ERROR.

    Once for each process, before the app is made (with `configure_logging=False`); again does no harm.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_: logging.getLogger("loa"),
        cache_logger_on_first_use=False,
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _scrub_message],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _in_order, _renderer()],
        )
    )
    root = logging.getLogger()
    # Those of a test runner or an embedding program stay.
    root.handlers = [other for other in root.handlers if type(other) not in (_Stderr, logging.StreamHandler)]
    root.addHandler(handler)
    root.setLevel(level)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("sanic")]:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelNamesMapping()[level]))


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    # The standard library's JSON, which escapes: the log must take in text that is not UTF-8.
    return structlog.processors.JSONRenderer()


def _in_order(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """When, how bad and what, before the rest."""
    return {key: event[key] for key in ("timestamp", "level", "event") if key in event} | dict(event)


def _exception(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """`exc_info` as the text of `exception`. Of a library's record as well, which would be formatted with its input."""
    info: Any = event.pop("exc_info", None)
    if info:
        error = info if isinstance(info, BaseException) else (sys.exc_info() if info is True else info)[1]
        if error is not None:
            event["exception"] = describe(error)
    return event


def _scrub_message(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Sanic quotes URLs, with their query."""
    event["event"] = scrub(str(event["event"]))
    return event
