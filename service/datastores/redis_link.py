"""The link: publishes and subscribes to channels of Redis, on a single server or across the primaries of a cluster."""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import structlog
from redis.exceptions import ConnectionError, RedisError, ResponseError

from service.common.tasks import cancel_and_wait, count_failure
from service.datastores.redis_endpoint import RedisEndpoint
from service.datastores.resp_connection import RespConnection
from service.datastores.slot_map import Owner, SlotMap

log = structlog.get_logger()

RETRY_INTERVAL = 1.0
"""Seconds between two attempts to reach a server, at most: users wait for the events of other processes, and an attempt
costs next to nothing."""
MIN_READ_INTERVAL = 0.1
"""Seconds between two readings of the slot map, at least: servers disagree about a slot for moments."""
MAX_CHANNELS = 1000
"""Channels, or keys, in one command."""
COUNT_SECONDS = 86_400
"""Seconds for which the number of the last message to a channel is kept, from the first message on; then the numbers
begin again. A channel for each user would else fill the memory in the end."""
MARK_SECONDS = 60
"""Seconds for which the marks of a publication are kept (see `Publication`)."""
MAX_PUBLICATIONS = 128
"""Messages, with their marks, in one command: the server does nothing else meanwhile, for about 0.3 ms."""
MAX_PUBLISHED_BYTES = 1 << 20
"""Bytes of the messages in one command, unless it is a single one: each command is answered before long, so it is
noticed when the connection does not work."""
COUNTED = f"""
local key, argument = 1, 2
while key <= #KEYS do
  local count = redis.pcall('INCR', KEYS[key])
  if type(count) == 'table' then
    if not (string.find(count.err, '^-?OOM') or string.find(count.err, '^-?MISCONF')) then
      return count
    end
    count = 0
  elseif count == 1 then
    redis.pcall('EXPIRE', KEYS[key], {COUNT_SECONDS})
  end
  local channel, payload, marks = ARGV[argument], ARGV[argument + 1], tonumber(ARGV[argument + 2])
  for number = 1, marks do
    local mark, old = ARGV[argument + 2 + number], redis.pcall('GET', KEYS[key + number])
    if not (type(old) == 'string' and tonumber(old) >= tonumber(mark)) then
      redis.pcall('SET', KEYS[key + number], mark, 'EX', {MARK_SECONDS})
    end
  end
  redis.call(ARGV[1], channel, count .. ' ' .. payload)
  key, argument = key + 1 + marks, argument + 3 + marks
end
return 1
"""
"""The script that publishes messages, each with its number in front of it. A write, so that a server that is no primary
any more refuses it, instead of publishing to nobody. A primary whose memory is full (OOM) or whose disk fails (MISCONF)
refuses writes, too, but can publish: the number is then 0, and a lost message is not noticed."""
COUNT_WAIT = 2.0
"""Seconds that a counted message may take to arrive, until it is taken for lost."""
READ_TIMEOUT = 0.5
"""Seconds that a read may take. Its callers can do without it."""
MAX_COUNT_DIGITS = 20
LINK_ERRORS = (RedisError, OSError)
"""What a connection raises; TimeoutError is an OSError."""


class Publication(NamedTuple):
    """A message to a channel. `marks`: keys of the channel's slot, each with a number to which it is raised, for
    MARK_SECONDS, before the message is published."""

    channel: bytes
    payload: bytes
    marks: Mapping[bytes, int]


class Role(Enum):
    """Each server in use has one connection of each role: publications never wait behind received messages."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class Listener(Protocol):
    """What a link reports. All methods are called synchronously and must not block."""

    def on_message(self, channel: bytes, payload: bytes) -> None:
        """A message was published to a channel with a subscription."""
        ...

    def on_subscribed(self, channel: bytes, again: bool) -> None:
        """From now on the messages of `channel` arrive. `again`: they arrived before, and some may have been missed."""
        ...

    def on_unsubscribed(self, channel: bytes) -> None:
        """Messages of `channel` do not arrive at present, although it has a subscription."""
        ...

    def on_missed(self, channel: bytes) -> None:
        """Some messages of `channel` have not arrived and will not, although it has a subscription."""
        ...

    def on_ready(self) -> None:
        """Some channels can be published to that could not before."""
        ...


class Subscription:
    """A channel whose messages are wanted. `connection`: where they were requested; `confirmed`: they arrive there.
    `count`: the number of the last message before then or since; None as long as it is not known."""

    __slots__ = ("confirmed", "connection", "count", "was_confirmed")

    def __init__(self) -> None:
        self.count: int | None = None
        self.connection: RespConnection | None = None
        self.confirmed = False
        self.was_confirmed = False


class RedisLink:
    """Connections to those servers of a deployment's Redis that serve the channels in use.

    A channel belongs to the server of its slot; in a cluster its messages are sharded ones (SPUBLISH, SSUBSCRIBE). One
    reconciler compares, at most once in an iteration of the event loop, the subscriptions with those that were
    requested from servers, and requests the missing ones: one command for each slot. A lost connection, a moved slot (a
    MOVED error, an unrequested `sunsubscribe`, another slot map) or a refused command only makes subscriptions missing
    again. The slot map is read again after each of these, and every RETRY_INTERVAL for as long as one is missing.

    The messages of a channel are numbered by Redis (key: the channel's name and `:count`), so that one that got lost is
    noticed with the next, or by `check_counts`. Not while Redis refuses writes because its memory is full or its disk
    fails.

    Guarantee: a channel whose messages may have been missed is reported, by `on_subscribed(again=True)` or `on_missed`.
    """

    def __init__(self, endpoint: RedisEndpoint, listener: Listener) -> None:
        self._endpoint = endpoint
        self._listener = listener
        self._slots = SlotMap(endpoint.seeds)
        self._subscriptions: dict[bytes, Subscription] = {}
        self._missing: set[bytes] = set()
        """Channels whose subscription was not requested from a server yet, or is lost."""
        self._unconfirmed: set[bytes] = set()
        """Those, and channels whose subscription was requested and is not confirmed."""
        self._connections: dict[tuple[Owner, Role], RespConnection] = {}
        self._opening: dict[tuple[Owner, Role], asyncio.Task[RespConnection]] = {}
        self._reading: asyncio.Task[None] | None = None
        """Reads the slot map."""
        self._read_at = -math.inf
        """When the slot map was read, by the clock of the event loop."""
        self._reconciling = False
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False

    def subscribe(self, channels: Iterable[bytes]) -> None:
        """Subscribe to these channels until `unsubscribe`; `on_subscribed` reports each."""
        for channel in channels:
            if channel not in self._subscriptions:
                self._subscriptions[channel] = Subscription()
                self._missing.add(channel)
                self._unconfirmed.add(channel)
        self._schedule_reconcile()

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        """End the subscriptions to these channels."""
        requested: defaultdict[tuple[RespConnection, int], list[bytes]] = defaultdict(list)
        for channel in channels:
            self._missing.discard(channel)
            self._unconfirmed.discard(channel)
            subscription = self._subscriptions.pop(channel, None)
            if subscription and subscription.connection:
                requested[subscription.connection, self._group_of(channel)].append(channel)
        for (connection, _), group in requested.items():
            self._send(connection, self._command("UNSUBSCRIBE"), group)

    @property
    def all_confirmed(self) -> bool:
        """Whether the messages of every channel with a subscription arrive."""
        return not self._unconfirmed

    def publish(
        self, channel: bytes, payload: bytes, marks: Mapping[bytes, int] | None = None
    ) -> "asyncio.Future[Any] | None":
        """Publish one message, as `publish_all` does. Returns None if that is not possible yet."""
        sent = self.publish_all([Publication(channel, payload, marks or {})])
        return sent[0][1] if sent else None

    def publish_all(self, publications: Iterable[Publication]) -> "list[tuple[list[Publication], asyncio.Future[Any]]]":
        """Publish messages to different channels: those to one server, or in a cluster to one slot, with few commands.

        Returns what went into each command. Those messages have been accepted once its future ends without an error;
        after one, some may have been, and the caller passes it to `recover` with one of the channels. Left out is what
        cannot be published yet; `on_ready` is called when it may be.
        """
        groups: defaultdict[tuple[RespConnection, int], list[Publication]] = defaultdict(list)
        for publication in publications:
            if connection := self._connection_for(publication.channel, Role.PUBLISH):
                groups[connection, self._group_of(publication.channel)].append(publication)
        sent = []
        for (connection, _), group in groups.items():
            sent += [(part, self._publish(connection, part)) for part in _commands(group)]
        return sent

    def _publish(self, connection: RespConnection, publications: Sequence[Publication]) -> "asyncio.Future[Any]":
        keys: list[bytes] = []
        arguments: list[str | bytes] = [self._command("PUBLISH")]
        for channel, payload, marks in publications:
            keys.append(_count_key(channel))
            arguments += (channel, payload, str(len(marks)))
            if marks:
                keys += marks
                arguments += map(str, marks.values())
        return connection.send("EVAL", COUNTED, str(len(keys)), *keys, *arguments)

    async def read(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return the numbers in those keys that exist. Those of a server that does not answer in time, or is known to
        be lost, are left out."""
        groups: defaultdict[tuple[Owner, int], list[bytes]] = defaultdict(list)
        for key in keys:
            if self._slots.has_owner(key):
                groups[self._slots.owner(key), self._group_of(key)].append(key)
        parts = [
            asyncio.create_task(self._read_part(owner, group[start : start + MAX_CHANNELS]))
            for (owner, _), group in groups.items()
            if self._retry is None or (owner, Role.PUBLISH) in self._connections
            for start in range(0, len(group), MAX_CHANNELS)
        ]
        found: dict[bytes, int] = {}
        for part in await asyncio.gather(*parts):
            found.update(part)
        return found

    async def _read_part(self, owner: Owner, keys: list[bytes]) -> dict[bytes, int]:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                values = await (await self._open(owner, Role.PUBLISH)).send("MGET", *keys)
        except LINK_ERRORS as error:
            log.warning("redis_read_failed", error=error_code(error))
            return {}
        return {key: int(value) for key, value in zip(keys, values, strict=True) if value is not None}

    async def check_counts(self) -> None:
        """Compare the number of the last message that arrived in each channel with the one in Redis, and report
        channels in which one is missing."""
        known = {name: each.count for name, each in self._subscriptions.items() if each.confirmed}
        keys = {_count_key(name): name for name in known}
        counts = await self.read(keys)
        # Counted messages that are still on their way arrive meanwhile.
        await asyncio.sleep(COUNT_WAIT)
        for key, count in counts.items():
            name = keys[key]
            subscription = self._subscriptions.get(name)
            if subscription is None or not subscription.confirmed:
                continue
            last = subscription.count
            # Lower: the numbers have begun again, with a message that did not arrive.
            if last is None or count > last or (count < last and last == known[name]):
                subscription.count = count
                if last is not None:
                    log.warning("redis_messages_missed", missing=_missing(last, count))
                    self._listener.on_missed(name)

    def one_for_each_server(self, channels: Iterable[bytes]) -> list[bytes]:
        """Return for each server in use the first one of these channels that it serves."""
        found: dict[Owner, bytes] = {}
        for channel in channels:
            if self._slots.has_owner(channel):
                found.setdefault(self._slots.owner(channel), channel)
        return list(found.values())

    async def request(self, channel: bytes, *command: str | bytes) -> Any:
        """Send a command to the server of `channel` and return the reply. Raises one of LINK_ERRORS."""
        if not self._slots.has_owner(channel):
            await self._read_slots()
        if not self._slots.has_owner(channel):
            raise ConnectionError("No node serves the slot.")
        return await (await self._open(self._slots.owner(channel), Role.PUBLISH)).send(*command)

    async def is_cluster(self) -> bool:
        """Return whether the server is a cluster node. Raises one of LINK_ERRORS."""
        if not self._slots.known:
            await self._read_slots()
        return self._slots.is_cluster

    def recover(self, channel: bytes, error: BaseException) -> None:
        """Handle the error of a command for `channel`: find the server again, and then call `on_ready`."""
        if not isinstance(error, ResponseError):
            # The connection is lost: see _on_lost.
            return
        if str(error).startswith("MOVED"):
            self._read_slots_soon()
            return
        if self._slots.has_owner(channel):
            # For example CLUSTERDOWN: the node is cut off from the others, which may know more.
            owner = self._slots.owner(channel)
            self._slots.mark_failed(owner)
            if str(error).startswith("READONLY"):
                # The server is a replica now. The address of a provider leads new connections to the new primary.
                for role in Role:
                    if connection := self._connections.get((owner, role)):
                        connection.lose(ConnectionError("The server is no longer a primary."))
        self._retry_later()

    def renew(self, channel: bytes) -> None:
        """Replace the connection with the subscription to `channel`: nothing arrives on it, although it is open."""
        subscription = self._subscriptions.get(channel)
        if subscription and subscription.connection:
            subscription.connection.lose(ConnectionError("No message has arrived for too long."))

    async def close(self) -> None:
        """Close all connections; commands without a reply fail."""
        self._closed = True
        if self._retry:
            self._retry.cancel()
        for task in [*self._opening.values(), self._reading]:
            await cancel_and_wait(task)
        for connection in list(self._connections.values()):
            connection.lose(ConnectionError("The link is closed."))

    # Subscriptions.

    def _schedule_reconcile(self) -> None:
        if not self._reconciling and not self._closed:
            self._reconciling = True
            asyncio.get_running_loop().call_soon(self._reconcile)

    def _reconcile(self) -> None:
        self._reconciling = False
        requested: defaultdict[tuple[RespConnection, int], list[bytes]] = defaultdict(list)
        for channel in self._missing:
            if connection := self._connection_for(channel, Role.SUBSCRIBE):
                requested[connection, self._group_of(channel)].append(channel)
        for (connection, _), channels in requested.items():
            self._missing.difference_update(channels)
            for channel in channels:
                self._subscriptions[channel].connection = connection
            self._send(connection, self._command("SUBSCRIBE"), channels)
            self._request_counts(connection, channels)

    def _request_counts(self, connection: RespConnection, channels: list[bytes]) -> None:
        """Ask for the numbers of the last messages: the loss of the next one would not be noticed otherwise.

        On the connection with the subscriptions: messages after these with at most those numbers arrive first.
        """
        for start in range(0, len(channels), MAX_CHANNELS):
            group = channels[start : start + MAX_CHANNELS]
            counts = connection.send("MGET", *map(_count_key, group))
            counts.add_done_callback(partial(self._on_counts, connection, group))

    def _on_counts(self, connection: RespConnection, channels: list[bytes], counts: "asyncio.Future[Any]") -> None:
        if counts.cancelled() or counts.exception() is not None:
            # The first message, or `check_counts`, shows the number.
            return
        for channel, count in zip(channels, counts.result(), strict=True):
            subscription = self._subscriptions.get(channel)
            if subscription and subscription.connection is connection and subscription.count is None:
                subscription.count = int(count or 0)

    def _send(self, connection: RespConnection, command: str, channels: list[bytes]) -> None:
        rest = iter(channels)
        while group := list(islice(rest, MAX_CHANNELS)):
            requested = connection.send(command, *group, channels=group)
            requested.add_done_callback(partial(self._on_replied, connection, group))

    def _on_replied(self, connection: RespConnection, channels: list[bytes], future: "asyncio.Future[Any]") -> None:
        if future.cancelled() or (error := future.exception()) is None or connection.lost:
            # `_on_lost` handles the subscriptions of a lost connection.
            return
        log.warning("redis_subscribe_failed", error=error_code(error))
        self._forget(channels, connection)
        self.recover(channels[0], error)

    def _on_push(self, connection: RespConnection, push: list[Any]) -> None:
        kind = push[0]
        if kind in (b"smessage", b"message"):
            if subscription := self._subscriptions.get(push[1]):
                self._on_message(push[1], subscription, push[2])
        elif kind in (b"ssubscribe", b"subscribe"):
            subscription = self._subscriptions.get(push[1])
            if subscription and subscription.connection is connection and not subscription.confirmed:
                again = subscription.was_confirmed
                subscription.confirmed = subscription.was_confirmed = True
                self._unconfirmed.discard(push[1])
                subscription.count = None
                self._listener.on_subscribed(push[1], again)
        elif kind in (b"sunsubscribe", b"unsubscribe"):
            subscription = self._subscriptions.get(push[1])
            if subscription and subscription.connection is connection and subscription.confirmed:
                # Not requested: the slot has moved to another server.
                self._forget([push[1]], connection)
                self._read_slots_soon()

    def _on_message(self, channel: bytes, subscription: Subscription, message: bytes) -> None:
        number, separator, payload = message.partition(b" ")
        if not (separator and number.isdigit() and len(number) <= MAX_COUNT_DIGITS):
            # Published by the version before, which does not count.
            self._listener.on_message(channel, message)
            return
        count, last = int(number), subscription.count
        subscription.count = count or last
        # 1: the numbers have begun again.
        if last is not None and count > 1 and count != last + 1:
            log.warning("redis_messages_missed", missing=_missing(last, count - 1))
            self._listener.on_missed(channel)
        self._listener.on_message(channel, payload)

    def _forget(self, channels: Iterable[bytes], connection: RespConnection) -> None:
        """Note that `connection` no longer has these subscriptions."""
        for channel in channels:
            subscription = self._subscriptions.get(channel)
            if subscription and subscription.connection is connection:
                subscription.connection = None
                self._missing.add(channel)
                self._unconfirmed.add(channel)
                if subscription.confirmed:
                    subscription.confirmed = False
                    self._listener.on_unsubscribed(channel)

    def _group_of(self, channel: bytes) -> int:
        """Return which channels may be in one command with this one: in a cluster, those of its slot."""
        return self._slots.slot_of(channel) if self._slots.is_cluster else 0

    def _command(self, name: str) -> str:
        return f"S{name}" if self._slots.is_cluster else name

    # Connections.

    def _connection_for(self, channel: bytes, role: Role) -> RespConnection | None:
        """Return the connection to the server of `channel`. If there is none, return None and look for one."""
        if not self._slots.has_owner(channel):
            self._retry_later() if self._slots.known else self._read_slots_soon()
            return None
        owner = self._slots.owner(channel)
        connection = self._connections.get((owner, role))
        if connection is None and self._retry is None and not self._closed and (owner, role) not in self._opening:
            self._opening_task(owner, role).add_done_callback(self._report_failure)
        return connection

    async def _open(self, owner: Owner, role: Role) -> RespConnection:
        if connection := self._connections.get((owner, role)):
            return connection
        return await asyncio.shield(self._opening_task(owner, role))

    def _opening_task(self, owner: Owner, role: Role) -> "asyncio.Task[RespConnection]":
        key = owner, role
        if (task := self._opening.get(key)) is None:
            opening = RespConnection.open(self._endpoint, owner, self._on_push, self._on_lost)
            task = self._opening[key] = asyncio.create_task(opening)
            task.add_done_callback(partial(self._on_opened, key))
        return task

    def _on_opened(self, key: tuple[Owner, Role], task: "asyncio.Task[RespConnection]") -> None:
        del self._opening[key]
        if task.cancelled():
            return
        if task.exception():
            self._slots.mark_failed(key[0])
            if self._subscriptions:
                self._retry_later()
        elif self._closed or task.result().lost:
            task.result().lose(ConnectionError("The link is closed."))
        else:
            self._connections[key] = task.result()
            self._schedule_reconcile()
            self._listener.on_ready()

    def _report_failure(self, task: "asyncio.Task[Any]") -> None:
        """Report the failure of a task that nobody awaits, and try again later."""
        if not task.cancelled() and (error := task.exception()):
            count_failure("redis_link")
            log.warning("redis_link_failed", error=type(error).__name__)
            self._retry_later()

    def _on_lost(self, connection: RespConnection) -> None:
        for key in [key for key, each in self._connections.items() if each is connection]:
            del self._connections[key]
        self._forget([name for name, each in self._subscriptions.items() if each.connection is connection], connection)
        if not self._closed:
            self._slots.mark_failed(connection.address)
            self._read_slots_soon()

    def _retry_later(self) -> None:
        if self._retry is None and not self._closed:
            delay = random.uniform(RETRY_INTERVAL / 2, RETRY_INTERVAL)  # noqa: S311
            self._retry = asyncio.get_running_loop().call_later(delay, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self._read_slots_soon()

    # The slot map.

    def _read_slots_soon(self) -> None:
        """Read the slot map, and then subscribe and publish where that was not possible before."""
        if self._reading is None and self._retry is None and not self._closed:
            if asyncio.get_running_loop().time() - self._read_at < MIN_READ_INTERVAL:
                self._retry_later()
                return
            self._reading = asyncio.create_task(self._read_slots())
            self._reading.add_done_callback(self._on_slots_read)

    def _on_slots_read(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        self._read_at = asyncio.get_running_loop().time()
        if task.cancelled() or self._closed or task.exception():
            self._report_failure(task)
            return
        moved: defaultdict[RespConnection, list[bytes]] = defaultdict(list)
        for channel, subscription in self._subscriptions.items():
            connection = subscription.connection
            if connection and self._slots.has_owner(channel) and self._slots.owner(channel) != connection.address:
                moved[connection].append(channel)
        for connection, channels in moved.items():
            self._forget(channels, connection)
            by_slot: defaultdict[int, list[bytes]] = defaultdict(list)
            for channel in channels:
                by_slot[self._group_of(channel)].append(channel)
            for group in by_slot.values():
                self._send(connection, self._command("UNSUBSCRIBE"), group)
        self._schedule_reconcile()
        self._listener.on_ready()

    async def _read_slots(self) -> None:
        """Ask the known servers, one after the other, until one answers. Raises the last error."""
        failure: Exception = ConnectionError("No server is known.")
        for address in list(self._slots.candidates):
            try:
                await self._ask(address)
                return
            except LINK_ERRORS as error:
                failure = error
        raise failure

    async def _ask(self, address: Owner) -> None:
        connection = await self._open(address, Role.PUBLISH)
        try:
            ranges = await connection.send("CLUSTER", "SLOTS")
        except ResponseError:
            ranges = []
        if not ranges and self._slots.has_several_seeds:
            raise ConnectionError("The URL names several servers, and this one is not a cluster node with slots.")
        if ranges and address is not None:
            self._slots.update(address, ranges)
        else:
            # A server without a cluster, or a node to which no slots are assigned.
            self._slots.set_single(address)


def _count_key(channel: bytes) -> bytes:
    return channel + b":count"


def _missing(last: int, count: int) -> int:
    """Return how many messages up to the number `count` have not arrived after `last`. If it is lower, the numbers have
    begun again, and all from then on are missing."""
    return count - last if count >= last else count


def error_code(error: BaseException) -> str:
    """Return what to log of one of LINK_ERRORS: the server's code for it, such as NOPERM, or its type."""
    return str(error).partition(" ")[0] if isinstance(error, ResponseError) else type(error).__name__


def _commands(publications: Iterable[Publication]) -> Iterator[list[Publication]]:
    """Yield what goes into each command."""
    part, messages, size = list[Publication](), 0, 0
    for publication in publications:
        own_messages, own_size = 1 + len(publication.marks), len(publication.payload)
        if part and (messages + own_messages > MAX_PUBLICATIONS or size + own_size > MAX_PUBLISHED_BYTES):
            yield part
            part, messages, size = [], 0, 0
        part.append(publication)
        messages += own_messages
        size += own_size
    if part:
        yield part
