"""A change stream of the database, read in batches."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from bson import Timestamp
from pymongo.change_stream import ChangeStream as PymongoChangeStream
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from service.common.errors import Unavailable
from service.datastores.mongo import Collection, Database, Document, unavailable

Result = TypeVar("Result")

AWAIT_MS = 100
"""Milliseconds that the server waits for a change before it answers that there is none."""
GATHER_TIME = 0.2
HISTORY_LOST_CODES = frozenset(
    {
        9,  # FailedToParse: the token of another kind of server
        136,  # CappedPositionLost
        260,  # InvalidResumeToken
        280,  # ChangeStreamFatalError
        286,  # ChangeStreamHistoryLost
    }
)
"""Error codes (error_codes.yml in MongoDB's sources) with which no attempt to resume at this token can succeed."""


class HistoryLost(Exception):
    """The database cannot continue at the resume token: it no longer has the changes after it."""


class ChangeStream:
    """Changes of some collections, in the order of commitment, once a majority has them.

    The driver resumes after a lost connection or a fail-over. Each method runs the driver in a thread, once
    for a whole batch: motor's own change stream needs a thread for each change.
    """

    def __init__(
        self,
        source: Database | Collection,
        pipeline: Sequence[Document],
        *,
        resume_after: Document | None = None,
        start_at: Timestamp | None = None,
    ) -> None:
        """Changes of a database or a collection: those after the token `resume_after`, or at `start_at` and later;
        with neither, those from now on."""
        self._source: Any = source.with_options(read_concern=ReadConcern("majority")).delegate
        self._options = {
            "pipeline": list(pipeline),
            "resume_after": resume_after,
            "start_at_operation_time": None if resume_after else start_at,
            "max_await_time_ms": AWAIT_MS,
        }
        self._stream: PymongoChangeStream[Document] | None = None
        self.at_end = False
        """Whether the last read ended because there was no further change."""

    @property
    def resume_token(self) -> Document | None:
        """The token after the last change that was read; it advances, too, while other collections change."""
        token = self._stream.resume_token if self._stream else None
        return dict(token) if token else None

    async def read(self, limit: int, gather: float = GATHER_TIME, until: datetime | None = None) -> list[Document]:
        """Return the next changes, at most `limit`; none if none arrives within AWAIT_MS.

        `gather`: seconds after the first of them in which further ones may join it. `until`: the first change that was
        made at this time or later is the last one. Raises HistoryLost, Unavailable.
        """
        try:
            async with unavailable():
                return await _in_thread(lambda: self._read(limit, gather, until))
        except OperationFailure as error:
            if error.code in HISTORY_LOST_CODES:
                raise HistoryLost from error
            raise
        except Unavailable as error:
            # `unavailable` takes all codes that a retry may cure, and does not know which of them these are.
            if isinstance(error.__cause__, OperationFailure) and error.__cause__.code in HISTORY_LOST_CODES:
                raise HistoryLost from error
            raise

    async def close(self) -> None:
        if self._stream:
            await _in_thread(self._stream.close)

    def _read(self, limit: int, gather: float, until: datetime | None) -> list[Document]:
        if self._stream is None:
            self._stream = self._source.watch(**self._options, batch_size=limit)
        found: list[Document] = []
        self.at_end = False
        deadline = float("inf")
        while len(found) < limit and time.monotonic() < deadline:
            change = self._stream.try_next()
            if change is None:
                self.at_end = True
                break
            if not found:
                deadline = time.monotonic() + gather
            found.append(dict(change))
            if until and time_of(change) >= until:
                break
        return found


def time_of(change: Mapping[str, Any]) -> datetime:
    """Return when a change was made."""
    # By default the driver returns this time without a zone; servers before 6.0 do not have it.
    at: datetime = change.get("wallTime") or change["clusterTime"].as_datetime()
    return at if at.tzinfo else at.replace(tzinfo=UTC)


async def _in_thread(function: Callable[[], Result]) -> Result:
    """Like `asyncio.to_thread`, but if cancelled, return only after the thread has: it uses the stream."""
    call = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        if not call.cancelled():
            call.exception()  # or asyncio would log that nobody asked for it
        raise
