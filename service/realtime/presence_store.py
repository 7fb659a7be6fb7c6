"""Who is online, on whichever process: kept in Redis, in step with the registries of all processes."""

import asyncio
import time
from collections.abc import Awaitable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol, cast

import structlog
from redis.asyncio import Redis

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure, run_forever
from service.common.times import iso, now
from service.datastores.redis import REDIS_ERRORS, TAG
from service.realtime.bus import Bus
from service.realtime.registry import Registry

log = structlog.get_logger()

PROCESSES = f"{TAG}:presence:processes"
ALIVE_SECONDS = 15
"""A process that has not said for so long that it lives is dead, and its users are not online through it."""
BEAT_SECONDS = 5
RETRY_SECONDS = 1.0
"""Between two tries while Redis is away, at most: who comes back later than the others could be taken for dead."""
MAX_BATCH = 500
GRACE = 2.0
"""Seconds that closing waits for a Redis that may be away; twice."""


class LastSeen(Protocol):
    """Where the last time of everyone's going offline is kept."""

    async def record(self, user_ids: Collection[str], moment: datetime) -> None: ...

    async def look_up(self, user_ids: Collection[str]) -> dict[str, datetime]: ...


class PresenceStore:
    """A user is online while any process has a connection of theirs.

    In Redis: of each user the set of processes that have one, of each process the set of its users and a key that
    lives as long as the process renews it. One task brings Redis in step with the registry, in batches; whoever finds
    a process that is listed but not alive takes its users out. A user's first process and last one are changes, which
    every process hears of. Without Redis, each process knows of its own users.

    What Redis was asked may be done though its answer never comes, and is then asked again, by us or by its client. So
    what is told goes by what this process knows that Redis has confirmed, and a change may be told twice.
    """

    def __init__(self, registry: Registry, bus: Bus, redis: "Redis", last_seen: LastSeen) -> None:
        self._registry = registry
        self._bus = bus
        self._redis = redis
        self._last_seen = last_seen
        self._changed: dict[str, None] = {}
        self._denied: set[str] = set()
        self._entered: set[str] = set()
        """Of whom Redis has confirmed that it has them, and everybody has been told."""
        self._beaten = 0.0
        self._bury_from = 0.0
        self._listed = asyncio.Event()
        self._wake = asyncio.Event()
        self._in_step = asyncio.Event()
        self._in_step.set()
        self.tasks: list[asyncio.Task[None]] = []
        registry.on_user_presence_change(self._on_change)
        bus.on("presence", self._on_presence)
        bus.on_gap(self._register_all)

    async def start(self) -> None:
        self._beaten = time.monotonic()
        self.tasks = [
            asyncio.create_task(run_forever(self._reconcile, "presence_reconcile", RETRY_SECONDS)),
            asyncio.create_task(run_forever(self._beat, "presence_beat", RETRY_SECONDS)),
        ]

    async def close(self) -> None:
        """Take this process's users out, as far as Redis can be told within a moment."""
        # A batch that Redis has taken and nobody has heard of yet would be lost: those in it are not there to take out.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._in_step.wait(), GRACE)
        for task in self.tasks:
            await cancel_and_wait(task)
        try:
            async with asyncio.timeout(GRACE):
                await self._bury(self._bus.process_id)
        except REDIS_ERRORS as error:
            log.warning("presence_not_closed", error=type(error).__name__)

    def online_locally(self, user_ids: Collection[str]) -> set[str]:
        """Who of these has a connection on this process."""
        return {user_id for user_id in user_ids if user_id in self._registry}

    async def online_globally(self, user_ids: Collection[str]) -> set[str]:
        """Who of these has one on any process. Raises one of REDIS_ERRORS."""
        here = self.online_locally(user_ids)
        others = [user_id for user_id in user_ids if user_id not in here]
        if not others:
            return here
        pipeline = self._redis.pipeline(transaction=False)
        for user_id in others:
            pipeline.exists(_processes_of(user_id))
        answers = await pipeline.execute()
        return here | {user_id for user_id, there in zip(others, answers, strict=True) if there}

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        for user_id in self.online_locally(head["went"]):
            # They went from there and came here, and the word of their coming may have been faster: it is said again.
            self._denied.add(user_id)
            self._on_change(user_id)

    def _on_change(self, user_id: str) -> None:
        self._changed[user_id] = None
        self._in_step.clear()
        self._wake.set()

    def _register_all(self) -> None:
        for user_id in self._registry.user_ids():
            self._on_change(user_id)

    async def _reconcile(self) -> None:
        # Whoever is entered by a process that others do not know of yet stays online for ever if it is killed.
        await self._listed.wait()
        await self._wake.wait()
        while self._changed:
            batch = list(self._changed)[:MAX_BATCH]
            here = self.online_locally(batch)
            self._denied -= set(batch) - here
            for user_id in batch:
                del self._changed[user_id]
            try:
                await self._announce(here, set(batch) - here)
            except BaseException:
                self._changed.update(dict.fromkeys(batch))
                raise
        self._wake.clear()
        self._in_step.set()

    async def _announce(self, coming: set[str], going: set[str]) -> None:
        """Enter and take out users of this process; say whose first or last process it was."""
        process_id = self._bus.process_id
        # In one piece, or two processes that come at once would each take the other for the first.
        pipeline = self._redis.pipeline(transaction=True)
        for user_id in coming:
            pipeline.sadd(_processes_of(user_id), process_id)
            pipeline.scard(_processes_of(user_id))
        for user_id in going:
            pipeline.srem(_processes_of(user_id), process_id)
            pipeline.scard(_processes_of(user_id))
        if coming:
            pipeline.sadd(_users_of(process_id), *coming)
        answers = await pipeline.execute()
        changes = dict(zip([*coming, *going], zip(answers[::2], answers[1::2], strict=False), strict=False))
        # Entered already, and not that we knew: it was done the first time, whoever has come since.
        came = [
            user_id
            for user_id in coming
            if changes[user_id] == (1, 1)
            or (changes[user_id][0] == 0 and user_id not in self._entered)
            or user_id in self._denied
        ]
        went = [
            user_id
            for user_id in going
            if changes[user_id][1] == 0 and (changes[user_id][0] == 1 or user_id in self._entered)
        ]
        await self._tell(came, went)
        self._denied -= coming
        self._entered |= coming
        self._entered -= going
        if going:
            # Not before they have been told: until then they are whoever's who takes over.
            await self._redis.srem(_users_of(process_id), *going)

    async def _tell(self, came: Collection[str], went: Collection[str]) -> None:
        moment = now()
        if went:
            # First, so that whoever hears of it and asks is told the same.
            await self._record(went, moment)
        if came or went:
            # One message for all of them: after a restart they come by the thousand.
            self._bus.publish("presence", {"came": list(came), "went": list(went), "at": iso(moment)})

    async def _record(self, user_ids: Collection[str], moment: datetime) -> None:
        try:
            await self._last_seen.record(user_ids, moment)
        except Unavailable:
            # That they have gone is worth more than when.
            count_failure("record_last_seen")
            log.warning("last_seen_not_recorded", users=len(user_ids))

    async def _beat(self) -> None:
        """Say that this process lives, and bury those that do not."""
        process_id = self._bus.process_id
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(_alive(process_id), 1, ex=ALIVE_SECONDS)
        pipeline.sadd(PROCESSES, process_id)
        pipeline.smembers(PROCESSES)
        _, new, members = await pipeline.execute()
        self._listed.set()
        if new:
            # The first time, or after Redis or the others have forgotten us.
            self._register_all()
        if self._may_bury(time.monotonic()):
            others = [member.decode() for member in members if member.decode() != process_id]
            await self._bury_dead(others)
        await asyncio.sleep(BEAT_SECONDS)

    def _may_bury(self, moment: float) -> bool:
        """Not for a while after Redis was away: the others could not say that they live, either."""
        if moment - self._beaten > 1.5 * BEAT_SECONDS:
            self._bury_from = moment + ALIVE_SECONDS
        self._beaten = moment
        return moment >= self._bury_from

    async def _bury_dead(self, others: Sequence[str]) -> None:
        if others:
            alive = await self._redis.mget([_alive(other) for other in others])
            for other, sign in zip(others, alive, strict=True):
                if sign is None:
                    log.warning("process_lost", process_id=other)
                    await self._bury(other)

    async def _bury(self, process_id: str) -> None:
        """Take out all users of a process, and say who has gone with it. Two that do it at once do no harm."""
        while True:
            found = await cast("Awaitable[list[bytes]]", self._redis.srandmember(_users_of(process_id), MAX_BATCH))
            if not found:
                break
            users = [user_id.decode() for user_id in found]
            pipeline = self._redis.pipeline(transaction=False)
            for user_id in users:
                pipeline.srem(_processes_of(user_id), process_id)
                pipeline.scard(_processes_of(user_id))
            left = (await pipeline.execute())[1::2]
            await self._tell([], [user_id for user_id, others in zip(users, left, strict=True) if not others])
            await self._redis.srem(_users_of(process_id), *users)
        await self._redis.srem(PROCESSES, process_id)
        await self._redis.delete(_alive(process_id))


def _processes_of(user_id: str) -> str:
    return f"{TAG}:presence:user:{user_id}"


def _users_of(process_id: str) -> str:
    return f"{TAG}:presence:process:{process_id}"


def _alive(process_id: str) -> str:
    return f"{TAG}:presence:alive:{process_id}"
