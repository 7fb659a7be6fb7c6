"""Who is online, on any process: kept in Redis, synchronised with the registries of all processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol, cast

import structlog
from redis.asyncio import Redis

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure, run_forever
from service.common.times import iso, now
from service.datastores.lease import Lease
from service.datastores.redis import REDIS_ERRORS, TAG
from service.realtime.addresses import presence_address
from service.realtime.bus import Bus
from service.realtime.registry import Registry

log = structlog.get_logger()

ALIVE_SECONDS = 15
"""No heartbeat for this long: the process is dead, and its users are not online through it."""
HEARTBEAT_INTERVAL = 5.0
"""Seconds between two heartbeats of a process."""
RETRY_INTERVAL = 1.0
"""Seconds between two attempts while Redis is unavailable, at most: a process that returns later than the others could
be taken for dead."""
COMPARE_INTERVAL = 60.0
"""Seconds between two comparisons of this process's users in Redis with the registry."""
MAX_BATCH = 500
"""Users in one request to Redis."""
BATCH_INTERVAL = 0.01
"""Seconds between two requests while users come and go, unless the second is for MAX_BATCH: what a request costs hardly
depends on their number, and others may learn of them so much later."""
CLOSE_TIMEOUT = 2.0
"""Seconds that `close` waits for each of its two steps: Redis may be unavailable."""

APPLY = """
local time = redis.call('TIME')
local number = math.max(time[1] * 1000000 + time[2], (tonumber(redis.call('GET', KEYS[2])) or 0) + 1)
redis.call('SET', KEYS[2], string.format('%.0f', number))
local replies = {number}
for index = 3, #KEYS do
  local command = index - 2 <= tonumber(ARGV[2]) and 'SADD' or 'SREM'
  replies[#replies + 1] = redis.call(command, KEYS[index], ARGV[1])
  replies[#replies + 1] = redis.call('SCARD', KEYS[index])
end
if #ARGV > 2 then
  redis.call('SADD', KEYS[1], unpack(ARGV, 3))
end
return replies
"""
"""The script that adds a process to the sets of the users who join, and removes it from those of others. Its arguments:
the process, the number of users who join, and these; the keys are those of all users, behind that of the process's own
and that of the number of the last change.

Each change gets a higher number than all before, also after Redis has lost its data, or the last numbers: the time in
microseconds, or if that is not higher, the next number.

A script, because if two processes add a user at once, exactly one of them has to see that it is the first. A command of
a transaction for each user would cost a process ten times as much when thousands come back."""


class LastSeen(Protocol):
    """Stores when each user last went offline."""

    async def record(self, user_ids: Collection[str], moment: datetime) -> None: ...

    async def look_up(self, user_ids: Collection[str]) -> dict[str, datetime]: ...


class PresenceStore:
    """A user is online while any process has a connection of theirs.

    Redis has, for each user, the set of processes with a connection of theirs; for each process, the set of its users
    and a key that expires unless its heartbeat renews it; and the set of all processes. One task of each process brings
    Redis in sync with the registry, in batches. One process, which holds a lease, looks for dead ones in the set and
    removes their users. When the first process of a user is added or the last one removed, the processes that watch the
    user are notified over the bus. While Redis is unavailable, each process only knows its own users.

    The notifications of two processes may overtake each other, so each has the number that Redis gave to the change.

    A command may succeed although its reply is lost; it is then sent again, by this class or by redis-py. So
    notifications depend on what Redis has confirmed to this process, and a change may be published twice, with another
    number.

    Redis may also take back what it has confirmed: a replica that takes over has not seen the last commands. So each
    process compares its users in Redis with the registry, now and then and after every gap of the bus.
    """

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        redis: "Redis",
        last_seen: LastSeen,
        clock: Callable[[], float] = time.monotonic,
        *,
        tag: str = TAG,
    ) -> None:
        """`tag`: the prefix of the keys, as in `connect`."""
        self._registry = registry
        self._bus = bus
        self._redis = redis
        self._last_seen = last_seen
        self._clock = clock
        self._tag = tag
        self._processes = f"{tag}:presence:processes"
        self._number = f"{tag}:presence:number"
        self._lease = Lease(redis, f"{tag}:presence:lease", ALIVE_SECONDS * 2 / 3)
        self._changed: dict[str, None] = {}
        """Users whose state Redis may not have, in the order in which they changed."""
        self._reannounce: set[str] = set()
        """Users to publish as online again, because a process of the version before, which does not number its
        notifications, has published them as offline."""
        self._confirmed: set[str] = set()
        """Users whom Redis has confirmed to have, and who have been published as online."""
        self._last_heartbeat = 0.0
        self._reap_from = 0.0
        self._registered = asyncio.Event()
        self._wake = asyncio.Event()
        self._synced = asyncio.Event()
        self._synced.set()
        self._compare_now = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        registry.on_user_presence_change(self._on_change)
        bus.on("presence", self._on_presence)
        bus.on_gap(self._mark_all_changed)
        bus.on_gap(self._compare_now.set)

    async def start(self) -> None:
        self._last_heartbeat = self._clock()
        self.tasks = [
            asyncio.create_task(run_forever(self._reconcile, "presence_reconcile", RETRY_INTERVAL)),
            asyncio.create_task(run_forever(self._heartbeat, "presence_heartbeat", RETRY_INTERVAL)),
            asyncio.create_task(run_forever(self._compare, "presence_compare", RETRY_INTERVAL)),
        ]

    async def close(self) -> None:
        """Remove this process and its users from Redis, if Redis answers in time."""
        # Otherwise users whom Redis has removed already, but nobody has been notified of, would never be published.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._synced.wait(), CLOSE_TIMEOUT)
        for task in self.tasks:
            await cancel_and_wait(task)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._reap(self._bus.process_id)
                await self._lease.release()
        except REDIS_ERRORS as error:
            log.warning("presence_not_closed", error=type(error).__name__)

    def online_locally(self, user_ids: Collection[str]) -> set[str]:
        """Return those of these users who have a connection on this process."""
        return {user_id for user_id in user_ids if self._registry.has_user(user_id)}

    async def online_globally(self, user_ids: Collection[str]) -> set[str]:
        """Return those of these users who have a connection on any process. Raises one of REDIS_ERRORS."""
        return (await self.read(user_ids))[0]

    async def read(self, user_ids: Collection[str]) -> tuple[set[str], int]:
        """As `online_globally`; and the number of the last change that this takes into account, 0 if Redis did not have
        to be asked. Later ones may be taken into account, too."""
        local = self.online_locally(user_ids)
        others = [user_id for user_id in user_ids if user_id not in local]
        if not others:
            return local, 0
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(self._number)
        for user_id in others:
            pipeline.exists(self._processes_of(user_id))
        number, *replies = await pipeline.execute()
        return local | {user_id for user_id, exists in zip(others, replies, strict=True) if exists}, int(number or 0)

    def _on_presence(self, head: dict[str, Any], body: bytes) -> None:
        if "number" in head:
            return
        for user_id in self.online_locally(head["left"]):
            # The user left the other process and joined this one, and the two messages may arrive in either order.
            self._reannounce.add(user_id)
            self._on_change(user_id)

    def _on_change(self, user_id: str) -> None:
        self._changed[user_id] = None
        self._synced.clear()
        self._wake.set()

    def _mark_all_changed(self) -> None:
        for user_id in self._registry.user_ids():
            self._on_change(user_id)

    async def _compare(self) -> None:
        """Mark as changed each user who is connected to this process according to Redis or the registry, but not both.

        A user whose change is still on its way to Redis may be marked, too, which is harmless.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._compare_now.wait(), COMPARE_INTERVAL)
        self._compare_now.clear()
        stored: set[str] = set()
        try:
            async for user_id in self._redis.sscan_iter(self._users_of(self._bus.process_id), count=MAX_BATCH):
                stored.add(user_id.decode())
        except BaseException:
            self._compare_now.set()
            raise
        for user_id in stored.symmetric_difference(self._registry.user_ids()):
            self._on_change(user_id)

    async def _reconcile(self) -> None:
        # Nobody reaps a process that is not in the set yet: if it were killed, its users would stay online for ever.
        await self._registered.wait()
        await self._wake.wait()
        while self._changed:
            batch = list(self._changed)[:MAX_BATCH]
            local = self.online_locally(batch)
            self._reannounce -= set(batch) - local
            for user_id in batch:
                del self._changed[user_id]
            try:
                await self._apply(local, set(batch) - local)
            except BaseException:
                self._changed.update(dict.fromkeys(batch))
                raise
            if 0 < len(self._changed) < MAX_BATCH:
                await asyncio.sleep(BATCH_INTERVAL)
        self._wake.clear()
        self._synced.set()

    async def _apply(self, joining: set[str], leaving: set[str]) -> None:
        """Add and remove users of this process in Redis; publish those for whom it is the first or was the last one."""
        process_id = self._bus.process_id
        number, changes = await self._change(process_id, joining, leaving)
        # If the set has not changed although the user is not confirmed, a former attempt succeeded and its reply was
        # lost. The user is then published, whichever other processes have been added since.
        joined = [
            user_id
            for user_id in joining
            if changes[user_id] == (1, 1)
            or (changes[user_id][0] == 0 and user_id not in self._confirmed)
            or user_id in self._reannounce
        ]
        left = [
            user_id
            for user_id in leaving
            if changes[user_id][1] == 0 and (changes[user_id][0] == 1 or user_id in self._confirmed)
        ]
        await self._publish(number, joined, left)
        self._reannounce -= joining
        self._confirmed |= joining
        self._confirmed -= leaving
        if leaving:
            # Not before they have been published: until then, a process that reaps this one must still find them.
            await self._redis.srem(self._users_of(process_id), *leaving)

    async def _change(
        self, process_id: str, joining: Collection[str], leaving: Collection[str]
    ) -> tuple[int, dict[str, tuple[int, int]]]:
        """Add a process to the sets of the users who join, and remove it from those of others. Return the number of the
        change; and for each user, whether the set changed, and how many processes it has now."""
        users = [*joining, *leaving]
        keys = [self._users_of(process_id), self._number, *map(self._processes_of, users)]
        number, *replies = await cast(
            "Awaitable[list[int]]", self._redis.eval(APPLY, len(keys), *keys, process_id, len(joining), *joining)
        )
        return number, dict(zip(users, zip(replies[::2], replies[1::2], strict=True), strict=True))

    async def _publish(self, number: int, joined: Collection[str], left: Collection[str]) -> None:
        moment = now()
        if left:
            # First, so that a client that is notified and then asks gets the same time.
            await self._record(left, moment)
        at = iso(moment)
        for user_id in joined:
            head = {"joined": [user_id], "left": [], "at": at, "number": number}
            self._bus.publish("presence", head, to=[presence_address(user_id)])
        for user_id in left:
            head = {"joined": [], "left": [user_id], "at": at, "number": number}
            self._bus.publish("presence", head, to=[presence_address(user_id)])

    async def _record(self, user_ids: Collection[str], moment: datetime) -> None:
        try:
            await self._last_seen.record(user_ids, moment)
        except Unavailable:
            # The users are published as offline all the same, which matters more than the time.
            count_failure("record_last_seen")
            log.warning("last_seen_not_recorded", users=len(user_ids))

    async def _heartbeat(self) -> None:
        """Renew this process's key; if it holds the lease, reap processes whose key has expired."""
        process_id = self._bus.process_id
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self._alive(process_id), 1, ex=ALIVE_SECONDS)
        pipeline.sadd(self._processes, process_id)
        _, added = await pipeline.execute()
        self._registered.set()
        if added:
            # The first heartbeat; or Redis has lost its data, or another process has reaped this one.
            self._mark_all_changed()
        self._postpone_reaping_after_outage(self._clock())
        if self._last_heartbeat >= self._reap_from and await self._lease.hold():
            members = await cast("Awaitable[set[bytes]]", self._redis.smembers(self._processes))
            await self._reap_dead([member.decode() for member in members if member.decode() != process_id])
        await asyncio.sleep(HEARTBEAT_INTERVAL)

    def _postpone_reaping_after_outage(self, moment: float) -> None:
        """Note a heartbeat at `moment`. If it is late, Redis was unavailable: then the other processes could not send
        heartbeats either, and get ALIVE_SECONDS to do so."""
        if moment - self._last_heartbeat > 1.5 * HEARTBEAT_INTERVAL:
            self._reap_from = moment + ALIVE_SECONDS
        self._last_heartbeat = moment

    async def _reap_dead(self, others: Sequence[str]) -> None:
        if others:
            alive = await self._redis.mget([self._alive(other) for other in others])
            for other, key in zip(others, alive, strict=True):
                if key is None:
                    log.warning("process_lost", process_id=other)
                    await self._reap(other)

    async def _reap(self, process_id: str) -> None:
        """Remove a process and its users, and publish who is offline now. Harmless if two processes do it at once."""
        while True:
            found = await cast("Awaitable[list[bytes]]", self._redis.srandmember(self._users_of(process_id), MAX_BATCH))
            if not found:
                break
            user_ids = [user_id.decode() for user_id in found]
            number, changes = await self._change(process_id, [], user_ids)
            await self._publish(number, [], [user_id for user_id, (_, count) in changes.items() if not count])
            await self._redis.srem(self._users_of(process_id), *user_ids)
        await self._redis.srem(self._processes, process_id)
        await self._redis.delete(self._alive(process_id))

    def _processes_of(self, user_id: str) -> str:
        return f"{self._tag}:presence:user:{user_id}"

    def _users_of(self, process_id: str) -> str:
        return f"{self._tag}:presence:process:{process_id}"

    def _alive(self, process_id: str) -> str:
        return f"{self._tag}:presence:alive:{process_id}"
