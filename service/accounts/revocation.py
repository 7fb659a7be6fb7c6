"""Revocation: sessions that have ended open nothing any more, and what they had open is closed, on every process."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from service.accounts.denylist import Denylist
from service.accounts.sessions import SessionStore
from service.accounts.tokens import CLOCK_SKEW
from service.common.close_reasons import TOKEN_REVOKED
from service.common.errors import TokenRevoked
from service.common.identity import Identity
from service.common.tasks import cancel_and_wait, run_forever
from service.common.times import now
from service.datastores.batcher import Batcher
from service.realtime.bus import Bus
from service.realtime.registry import Registry

log = structlog.get_logger()

BUS_KIND = "revoke"

POLL_INTERVAL = 2.0
"""Seconds between two looks at the database."""
POLL_OVERLAP = timedelta(seconds=60)
"""How far a look reaches back behind the one before: longer than the clocks of the database's servers differ, than a
write takes to be seen, and than the denylist's lease."""
CLOCK_TOLERANCE = timedelta(hours=1)
"""What the clocks of two processes may differ by: one may take a token for good that much longer than the other, which
issued it or ended its session, would. So an entry outlives it by that."""
CLOCK_WARNING = timedelta(seconds=CLOCK_SKEW)
"""A clock that is further than this from the database's is told of: tokens are refused for it."""


class Revocation:
    """MongoDB has the last word, and is written first. The bus and the denylist carry its word faster, and may fail.

    So every process looks at MongoDB every `POLL_INTERVAL` seconds for sessions that have ended: it closes their
    connections, which a lost message may have left open, and enters them in the denylist, which a lost write may have left
    out. A process that has seen Redis fail, or has just started, asks MongoDB about every token until a look that reaches
    back over the life of an access token has filled the denylist again. All of this goes by MongoDB's clock.
    """

    def __init__(
        self, sessions: SessionStore, denylist: Denylist, bus: Bus, registry: Registry, *, access_ttl: int
    ) -> None:
        """`access_ttl`: seconds that an access token lives; an entry in the denylist `CLOCK_TOLERANCE` longer."""
        self._sessions = sessions
        self._denylist = denylist
        self._bus = bus
        self._registry = registry
        self._memory = timedelta(seconds=access_ttl) + CLOCK_TOLERANCE
        # After a restart everybody comes back at once: those who come while one question is out share the next one.
        self._checks: Batcher[Identity, None] = Batcher(self._check_all)
        self._last_poll: datetime | None = None
        self._clock_skewed = False
        self._task: asyncio.Task[None] | None = None
        bus.on(BUS_KIND, self._on_message)

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._step, "revocation"))

    async def close(self) -> None:
        await cancel_and_wait(self._task)
        await self._checks.close()

    async def check(self, bearer: Identity) -> None:
        """Of an access token's bearer. Raises TokenRevoked; Unavailable where neither Redis nor MongoDB can say."""
        await self._checks.submit(bearer)

    async def check_session(self, session_id: str) -> None:
        """As `check`, of a token that outlives what the denylist remembers: MongoDB is asked."""
        if not await self._sessions.active([session_id]):
            raise TokenRevoked

    async def announce(self, session_ids: Collection[str], *token_ids: str) -> None:
        """These sessions have ended in MongoDB, and with them these tokens of theirs: let it be so everywhere.

        Whoever joins looks at the denylist *after* they have joined. So it is told once the entry is there: a
        connection that came too late to be told finds it.
        """
        if not session_ids:
            return
        # A Redis that hangs does not hold up what can be done here.
        self._close_connections(session_ids)
        seconds = self._memory.total_seconds()
        await self._denylist.add(dict.fromkeys((*session_ids, *token_ids), seconds))
        self._bus.publish(BUS_KIND, {"session_ids": list(session_ids)})

    async def poll(self) -> None:
        """One look at the database. Raises Unavailable, and then the next one reaches back as far."""
        started = await self._sessions.clock()
        self._compare(started)
        await self._denylist.renew_marker()
        failures = self._denylist.failures
        filling = not self._denylist.is_complete and await self._denylist.is_reachable()
        since = started - self._memory if filling or self._last_poll is None else self._last_poll
        async for ended in self._sessions.revoked_since(since - POLL_OVERLAP):
            self._close_connections(ended)
            until = {one: moment + self._memory for one, moment in ended.items()}
            await self._denylist.add({one: (end - started).total_seconds() for one, end in until.items()})
        self._last_poll = started
        if filling:
            await self._denylist.mark_complete(failures)

    async def _check_all(self, bearers: Sequence[Identity]) -> list[Exception | None]:
        entries = await self._denylist.contains(
            [one for bearer in bearers for one in (bearer.session_id, bearer.token_id)]
        )
        if entries is None:
            alive = await self._sessions.active(bearer.session_id for bearer in bearers)
            revoked = [bearer.session_id not in alive for bearer in bearers]
        else:
            revoked = [any(pair) for pair in zip(entries[::2], entries[1::2], strict=True)]
        return [TokenRevoked() if one else None for one in revoked]

    def _compare(self, moment: datetime) -> None:
        """Say in the log when this process's clock begins to differ from the database's."""
        apart = now() - moment
        if (abs(apart) > CLOCK_WARNING) is not self._clock_skewed:
            self._clock_skewed = not self._clock_skewed
            log.warning(
                "clock_skew_detected" if self._clock_skewed else "clock_skew_resolved", seconds=apart.total_seconds()
            )

    async def _step(self) -> None:
        await self.poll()
        await asyncio.sleep(POLL_INTERVAL)

    def _on_message(self, head: dict[str, Any], _: bytes) -> None:
        self._close_connections(head["session_ids"])

    def _close_connections(self, session_ids: Collection[str]) -> None:
        ended = frozenset(session_ids)
        self._registry.close_where(lambda connection: connection.session_id in ended, *TOKEN_REVOKED)
