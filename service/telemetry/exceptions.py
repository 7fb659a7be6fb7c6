"""Formats exceptions for the log without anything that a client sent."""

import re
import traceback
from collections.abc import Iterator

from pydantic import ValidationError

MAX_CHAIN = 5
SECRETS = re.compile(r"\b(token|ticket|password|secret)=[^&\s'\"<>]+", re.IGNORECASE)


def scrub(text: str) -> str:
    """Return `text` without the values of URL parameters that look like credentials."""
    return SECRETS.sub(r"\1=…", text)


def describe(error: BaseException) -> str:
    """Return the tracebacks of `error` and its causes, without local variables. `error` itself comes last."""
    return "\n".join(part for exception in reversed(list(_chain(error))) for part in _lines(exception))


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(MAX_CHAIN):
        if following is None:
            return
        yield following
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)


def _lines(error: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"{frame.filename}:{frame.lineno} {frame.name}"
    yield f"{type(error).__name__}: {scrub(_message(error))}"


def _message(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        # Its own text quotes the input, which may be a private message.
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return f"{error.title}: " + ", ".join(
            f"{'.'.join(str(part) for part in problem['loc'])} {problem['type']}" for problem in problems[:MAX_CHAIN]
        )
    return str(error)
