"""Revocation: the tokens of a revoked session are refused and its connections closed, on every process."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis.asyncio import Redis

from service.accounts.denylist import Denylist
from service.accounts.sessions import RevokedSession, SessionStore
from service.accounts.tokens import CLOCK_SKEW, CLOCK_TOLERANCE
from service.common.close_reasons import TOKEN_REVOKED
from service.common.errors import TokenRevoked
from service.common.identity import Identity
from service.common.tasks import cancel_and_wait, run_forever
from service.common.times import now
from service.datastores.batcher import Batcher
from service.datastores.lease import Lease
from service.datastores.redis import TAG
from service.realtime.addresses import user_address
from service.realtime.bus import Bus
from service.realtime.registry import Registry

log = structlog.get_logger()

BUS_KIND = "revoke"
BUS_KIND_POLLED = "revocations"
"""That a poll has ended, for the other processes."""
SEPARATOR = b","
"""Between the sessions that a process of the version before names with it, because it publishes nothing to users."""

POLL_INTERVAL = 2.0
"""Seconds after which a process polls the database, unless the holder of the lease has published a poll meanwhile."""
LEASE_INTERVAL = 1.5
"""Seconds between two polls by the holder of the lease. It is shorter, so that the others rarely poll."""
LEASE_TTL = 5.0
"""Seconds after which another process takes over the lease of one that has ended."""
MAX_SHARED = 5000
"""Revoked sessions that one process announces after a poll. If it finds more, each process polls."""
DOUBT_DELAY = 0.1
"""Seconds from the first doubt about a user to a poll: there may be thousands, after an interruption."""
DOUBT_OVERLAP = timedelta(minutes=5)
"""How far a poll after a doubt reaches back: longer than a missed message remains unnoticed."""
POLL_OVERLAP = timedelta(seconds=60)
"""How far a poll reaches back before the start of the previous one. Longer than the clock difference between the
database's servers, the delay until a write is visible, and the TTL of the denylist's marker."""
CLOCK_WARNING = timedelta(seconds=CLOCK_SKEW)
"""A larger difference between the clocks of this process and the database is logged: tokens may be refused."""


def revocation_lease(redis: "Redis", tag: str = TAG) -> Lease:
    """Return the lease to poll for all. `tag`: the prefix of the keys, as in `connect`."""
    return Lease(redis, f"{tag}:revoked:lease", LEASE_TTL)


class Revocation:
    """Revokes sessions and checks access tokens. MongoDB is authoritative and is written first.

    The bus and the denylist propagate a revocation faster, and either may fail. A revocation is published to the
    address of its user, so only processes with a connection of theirs hear of it. MongoDB is polled for revoked
    sessions, with MongoDB's clock: their connections are closed, in case a bus message was lost, and those that the
    denylist lacks are added to it, in case a Redis write was lost. So it does with the access tokens that password
    changes have ended, but their connections stay open.

    One process of the deployment, the holder of a lease, polls for all. It publishes what it found to the users'
    addresses, each session once, and then to all processes that it has, with the time of the earlier poll from which on
    it has found everything. A process that gets none for `POLL_INTERVAL` seconds, one that does not continue its own
    last poll, and one for which messages to some address do not arrive, polls itself; so does one that may have missed
    a message to a user (`poll_soon`).

    A process that has just started, or has seen Redis fail, checks every token in MongoDB until a poll of its own that
    covers the lifetime of an access token has completed the denylist. Until then it does not rely on the others.
    """

    def __init__(
        self,
        sessions: SessionStore,
        denylist: Denylist,
        bus: Bus,
        registry: Registry,
        lease: Lease,
        *,
        access_ttl: int,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """`lease`: whether this process polls for all, with `LEASE_TTL`. `access_ttl`: lifetime of an access token in
        seconds; a denylist entry lasts `CLOCK_TOLERANCE` longer.

        `clock` is only compared with the database's, for the log.
        """
        self._sessions = sessions
        self._denylist = denylist
        self._bus = bus
        self._registry = registry
        self._lease = lease
        self._clock = clock
        self._entry_ttl = timedelta(seconds=access_ttl) + CLOCK_TOLERANCE
        # After a restart all clients reconnect at once: checks that arrive during a query share the next one.
        self._checks: Batcher[Identity, None] = Batcher(self._check_all)
        self._last_poll: datetime | None = None
        """When the last poll started that has found everything from the one before on, in the database's time."""
        self._poll_due = 0.0
        """By the monotonic clock."""
        self._in_doubt = False
        self._due_changed = asyncio.Event()
        self._published: dict[str, datetime] = {}
        """Sessions that a poll has found, and that were published then; and when they were revoked."""
        self._clock_skewed = False
        self._task: asyncio.Task[None] | None = None
        bus.on(BUS_KIND, self._on_message)
        bus.on(BUS_KIND_POLLED, self._on_polled)

    async def start(self) -> None:
        self._task = asyncio.create_task(run_forever(self._step, "revocation"))

    async def close(self) -> None:
        await cancel_and_wait(self._task)
        await self._checks.close()

    async def check(self, bearer: Identity) -> None:
        """Check the bearer of an access token.

        Raises TokenRevoked, or Unavailable if neither Redis nor MongoDB can answer.
        """
        await self._checks.submit(bearer)

    async def check_session(self, bearer: Identity) -> None:
        """Check a session in MongoDB, for tokens that outlive a denylist entry. Raises TokenRevoked, Unavailable."""
        if not await self._sessions.active([(bearer.user_id, bearer.session_id)]):
            raise TokenRevoked

    async def announce(self, user_id: str, session_ids: Collection[str], *token_ids: str) -> None:
        """Propagate the revocation of sessions of a user that are revoked in MongoDB, and of these tokens of theirs.

        The bus message follows the denylist entry. A connection checks the denylist *after* it has registered, so one
        that registers too late for the message finds the entry.
        """
        if not session_ids:
            return
        # First, so that a Redis that hangs does not delay it.
        self._close_connections(session_ids)
        seconds = self._entry_ttl.total_seconds()
        await self._denylist.add(dict.fromkeys((*session_ids, *token_ids), seconds))
        self._publish(user_id, session_ids)

    def poll_soon(self, _: object = None) -> None:
        """Poll once more, without relying on others: a message to some user may have been missed."""
        self._in_doubt = True
        self._poll_due = min(self._poll_due, time.monotonic() + DOUBT_DELAY)
        self._due_changed.set()

    async def announce_tokens(self, token_ids: Collection[str]) -> None:
        """Propagate the end of access tokens that are ended in MongoDB. Connections opened with them stay open."""
        if token_ids:
            await self._denylist.add(dict.fromkeys(token_ids, self._entry_ttl.total_seconds()))

    async def poll(self) -> None:
        """Read the sessions revoked and the tokens ended since the last poll.

        Raises Unavailable; the next poll then reaches back as far.
        """
        await self._poll()
        self._schedule(POLL_INTERVAL)

    async def poll_for_all(self) -> None:
        """Like `poll`, and publish what was found to the processes concerned. For the holder of the lease."""
        after = self._last_poll
        found = await self._poll()
        self._schedule(LEASE_INTERVAL)
        if after is None or self._last_poll is None:
            return
        new = [session for session in found if session.id not in self._published]
        if len(new) > MAX_SHARED:
            return
        by_user: defaultdict[str, list[str]] = defaultdict(list)
        for session in new:
            by_user[session.user_id].append(session.id)
        for user_id, session_ids in by_user.items():
            self._publish(user_id, session_ids)
        self._published = {session.id: session.revoked_at for session in found}
        head = {"after": after.timestamp(), "until": self._last_poll.timestamp()}
        self._bus.publish(BUS_KIND_POLLED, head)

    async def poll_if_due(self) -> None:
        """Poll, for all processes if this one holds the lease, unless a poll is known of. Raises Unavailable."""
        if time.monotonic() < self._poll_due:
            return
        if self._denylist.is_complete and await self._lease.hold():
            await self.poll_for_all()
        else:
            await self.poll()

    async def _poll(self) -> list[RevokedSession]:
        """Return the sessions found."""
        in_doubt, self._in_doubt = self._in_doubt, False
        try:
            return await self._poll_since(DOUBT_OVERLAP if in_doubt else POLL_OVERLAP)
        except BaseException:
            self._in_doubt |= in_doubt
            raise

    async def _poll_since(self, overlap: timedelta) -> list[RevokedSession]:
        """`overlap`: how far to reach back before the last poll."""
        started = await self._sessions.database_time()
        self._compare_clocks(started)
        await self._denylist.renew_marker()
        failures = self._denylist.failures
        completing = not self._denylist.is_complete and await self._denylist.is_reachable()
        since = started - self._entry_ttl if completing or self._last_poll is None else self._last_poll
        found: list[RevokedSession] = []
        async for revoked in self._sessions.revoked_since(since - overlap):
            self._close_connections([session.id for session in revoked])
            await self._add_entries({session.id: session.revoked_at for session in revoked}, started)
            found += revoked
        async for ended in self._sessions.tokens_ended_since(since - overlap):
            await self._add_entries(ended, started)
        self._last_poll = started
        if completing:
            await self._denylist.mark_complete(failures)
        return found

    async def _check_all(self, bearers: Sequence[Identity]) -> list[Exception | None]:
        entries = await self._denylist.contains(
            [id for bearer in bearers for id in (bearer.session_id, bearer.token_id)]
        )
        if entries is None:
            active = await self._sessions.active((bearer.user_id, bearer.session_id) for bearer in bearers)
            revoked = [bearer.token_id in active.get(bearer.session_id, (bearer.token_id,)) for bearer in bearers]
        else:
            revoked = [any(pair) for pair in zip(entries[::2], entries[1::2], strict=True)]
        return [TokenRevoked() if is_revoked else None for is_revoked in revoked]

    async def _add_entries(self, ids: Mapping[str, datetime], started: datetime) -> None:
        """Add those of the ids, revoked or ended at these times, that the denylist lacks, each for the rest of its
        entry's TTL."""
        await self._denylist.add_missing(
            {id: (at + self._entry_ttl - started).total_seconds() for id, at in ids.items()}
        )

    def _compare_clocks(self, database_time: datetime) -> None:
        """Log when the difference between the two clocks begins and ceases to exceed `CLOCK_WARNING`."""
        difference = self._clock() - database_time
        if (abs(difference) > CLOCK_WARNING) is not self._clock_skewed:
            self._clock_skewed = not self._clock_skewed
            event = "clock_skew_detected" if self._clock_skewed else "clock_skew_resolved"
            log.warning(event, seconds=difference.total_seconds())

    def _schedule(self, interval: float) -> None:
        # A doubt during a poll concerns the next one.
        self._poll_due = time.monotonic() + (DOUBT_DELAY if self._in_doubt else interval)

    async def _step(self) -> None:
        await self.poll_if_due()
        self._due_changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._due_changed.wait(), max(0.0, self._poll_due - time.monotonic()))

    def _on_polled(self, head: dict[str, Any], body: bytes) -> None:
        self._close_connections(body.decode().split(SEPARATOR.decode()))
        if self._in_doubt or not self._bus.receives_all:
            # Something may have been published to a user that did not arrive here: this process polls when that is due.
            return
        after, until = (datetime.fromtimestamp(head[name], UTC) for name in ("after", "until"))
        # Otherwise something was published before that did not arrive here, or this process has to complete the
        # denylist: it polls when that is due.
        if self._denylist.is_complete and self._last_poll is not None and after <= self._last_poll < until:
            self._last_poll = until
            self._poll_due = time.monotonic() + POLL_INTERVAL

    def _on_message(self, head: dict[str, Any], _: bytes) -> None:
        self._close_connections(head["session_ids"])

    def _publish(self, user_id: str, session_ids: Collection[str]) -> None:
        self._bus.publish(BUS_KIND, {"session_ids": list(session_ids)}, to=[user_address(user_id)])

    def _close_connections(self, session_ids: Collection[str]) -> None:
        self._registry.disconnect_sessions(session_ids, *TOKEN_REVOKED)
