"""Busy posts: many comments on one post and reactions there take turns, so that those of others do not wait for all of
them."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.common.errors import Unavailable

MIN_TURN = 4
"""Requests about one post that are handled at the same time: without waiting, or in one turn. A comment on another post
waits for them with each of its own requests to the database."""
MAX_TURN = 32
BACKLOG = 32
"""A turn has one request for so many that wait, at least MIN_TURN and at most MAX_TURN: they are cheaper together, and
up to a thousand requests have all had their turn after about so many turns."""
MAX_PAUSE = 0.1
"""Seconds between two turns, at most. The pause takes as long as the turn did: half of the time is left to others."""
ALONE_AFTER = 1.0
"""Seconds without a request about another post, after which nobody is there who would wait."""
MAX_WAITING = 8192
MAX_WAIT = 15.0
"""Seconds that a request waits for its turn."""


class _Post:
    """What runs and waits on one post. `began`: when the turn did."""

    __slots__ = ("began", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.began = 0.0
        self.waiting: deque[asyncio.Future[None]] = deque()


class BusyPosts:
    """Bounds how many comments and reactions on each post this process handles at the same time, while there are some
    on others.

    A few are handled at once. Further ones wait until these have ended, and a pause after that: then some are handled
    together, in few commands. Meanwhile other posts find the database idle. Turns are in the order of arrival.
    """

    def __init__(self) -> None:
        self._posts: dict[str, _Post] = {}
        self._last, self._last_at = "", -math.inf
        """The post of the last request, and its time."""
        self._other_at = -math.inf
        """When the last request about another post than that came."""

    @asynccontextmanager
    async def turn(self, post_id: str) -> AsyncIterator[None]:
        """Run the body when it is its turn. Raises Unavailable if too many wait, or if they wait too long."""
        self._note(post_id)
        post = self._posts.setdefault(post_id, _Post())
        if not post.waiting and (post.running < MIN_TURN or self._is_alone(post_id)):
            self._begin(post)
        else:
            await self._wait(post_id, post)
        try:
            yield
        finally:
            self._end(post_id, post)

    def _note(self, post_id: str) -> None:
        if post_id != self._last:
            self._last, self._other_at = post_id, self._last_at
        self._last_at = time.monotonic()

    def _is_alone(self, post_id: str) -> bool:
        other_at = self._other_at if post_id == self._last else self._last_at
        return time.monotonic() - other_at >= ALONE_AFTER

    async def _wait(self, post_id: str, post: _Post) -> None:
        if len(post.waiting) >= MAX_WAITING:
            raise _too_busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        post.waiting.append(turn)
        try:
            async with asyncio.timeout(MAX_WAIT):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                # Its turn had just begun.
                self._end(post_id, post)
            if isinstance(error, TimeoutError):
                raise _too_busy() from None
            raise

    def _begin(self, post: _Post) -> None:
        if not post.running:
            post.began = time.monotonic()
        post.running += 1

    def _end(self, post_id: str, post: _Post) -> None:
        post.running -= 1
        if post.running:
            return
        if post.waiting:
            pause = 0.0 if self._is_alone(post_id) else min(MAX_PAUSE, time.monotonic() - post.began)
            asyncio.get_running_loop().call_later(pause, self._begin_turn, post_id, post)
        else:
            del self._posts[post_id]

    def _begin_turn(self, post_id: str, post: _Post) -> None:
        size = min(MAX_TURN, max(MIN_TURN, len(post.waiting) // BACKLOG))
        while post.waiting and post.running < size:
            turn = post.waiting.popleft()
            if not turn.done():
                self._begin(post)
                turn.set_result(None)
        if not post.running:
            # All have been cancelled.
            del self._posts[post_id]


def _too_busy() -> Unavailable:
    return Unavailable("Too many comments and reactions on this post are waiting.", retry_after=1)
