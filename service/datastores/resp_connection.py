"""One connection to a Redis server: RESP3, parsed by hiredis, with pipelined commands and push messages."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from hiredis import PushNotification, Reader, ReplyError, pack_command
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from service.datastores.cluster import Address
from service.datastores.redis_endpoint import RedisEndpoint

REPLY_TIMEOUT = 2.0
"""Seconds to connect and sign in, and to wait for a reply. A server that takes longer is treated as lost."""
PING_INTERVAL = 2.0
"""Seconds of silence after which a PING checks the connection: TCP does not report a cut cable."""
CHECK_INTERVAL = 0.5
"""Seconds between two checks of the timeouts."""
CONFIRMATIONS = {b"subscribe", b"unsubscribe", b"ssubscribe", b"sunsubscribe"}
INCOMPLETE = object()
"""What the parser returns while it needs more data."""


class Pending:
    """A command whose reply has not arrived. `channels`: those that a command for subscriptions still waits for; such a
    command has no reply of its own, but a push message for each channel."""

    __slots__ = ("channels", "deadline", "future")

    def __init__(self, future: "asyncio.Future[Any]", deadline: float, channels: set[bytes] | None) -> None:
        self.future = future
        self.deadline = deadline
        self.channels = channels


class RespConnection(asyncio.Protocol):
    """Commands sent in one iteration of the event loop leave in one write, and are answered in their order.

    Guarantees: once the connection is lost, for any reason, each command without a reply has failed with
    ConnectionError or TimeoutError, and `on_lost` has been called, once. A silent server is noticed within
    PING_INTERVAL + REPLY_TIMEOUT + 2 * CHECK_INTERVAL.
    """

    def __init__(
        self,
        address: Address | None,
        on_push: Callable[["RespConnection", list[Any]], None],
        on_lost: Callable[["RespConnection"], None],
    ) -> None:
        """`address`: of the server; None for a Unix socket. `on_push` is called with each push message."""
        self.address = address
        self._on_push = on_push
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(notEnoughData=INCOMPLETE)
        self._pending: deque[Pending] = deque()
        self._output: list[bytes] = []
        self._last_received = 0.0
        self._suspected_at = -1.0
        """`_last_received` when a reply was found to be late."""
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._ready = False

    @classmethod
    async def open(
        cls,
        endpoint: RedisEndpoint,
        address: Address | None,
        on_push: Callable[["RespConnection", list[Any]], None],
        on_lost: Callable[["RespConnection"], None],
    ) -> "RespConnection":
        """Connect and sign in. `on_lost` is only called for a connection that was returned.

        Raises OSError, or one of redis-py's errors, if the server cannot be reached or refuses.
        """
        connection = cls(address, on_push, on_lost)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                if address is None:
                    await loop.create_unix_connection(lambda: connection, endpoint.path)
                else:
                    hostname = address.host if endpoint.tls else None
                    await loop.create_connection(
                        lambda: connection, *address, ssl=endpoint.tls, server_hostname=hostname
                    )
                await connection._sign_in(endpoint)
        except BaseException as error:
            connection.lose(ConnectionError("not connected"))
            if isinstance(error, OSError) and error.errno is not None:
                # The same text as redis-py, whose other connections lead to the same servers.
                where = f"{address.host}:{address.port}" if address else endpoint.path
                raise ConnectionError(f"Error {error.errno} connecting to {where}. {error.strerror}.") from error
            raise
        if connection.lost:
            raise ConnectionError("The server closed the connection.")
        connection._ready = True
        return connection

    async def _sign_in(self, endpoint: RedisEndpoint) -> None:
        try:
            await self.send(*endpoint.hello)
        except ResponseError as error:
            raise AuthenticationError(str(error)) from error
        if endpoint.database:
            await self.send("SELECT", str(endpoint.database))

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._error is not None

    def send(self, *command: str | bytes, channels: Iterable[bytes] | None = None) -> "asyncio.Future[Any]":
        """Send a command; the future has its reply. It raises ResponseError if the server refuses, ConnectionError or
        TimeoutError if the connection is lost.

        `channels`: those of a command for subscriptions, which has no reply; the future ends once all are confirmed.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._error is not None:
            future.set_exception(self._error)
            return future
        expected = None if channels is None else set(channels)
        self._pending.append(Pending(future, self._loop.time() + REPLY_TIMEOUT, expected))
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(pack_command(command))  # type: ignore[arg-type]
        return future

    def lose(self, error: Exception) -> None:
        """End the connection at once; unanswered commands fail with `error`."""
        if self._error is not None:
            return
        self._error = error
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._transport.abort()
        self._output.clear()
        pending, self._pending = self._pending, deque()
        for each in pending:
            if not each.future.done():
                each.future.set_exception(error)
        if self._ready:
            self._on_lost(self)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: uvloop's transports do not have this type.
        self._transport = cast(asyncio.Transport, transport)
        if self._error is not None:
            self._transport.abort()
            return
        self._last_received = self._loop.time()
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)

    def data_received(self, data: bytes) -> None:
        self._last_received = self._loop.time()
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not INCOMPLETE:
                if type(reply) is PushNotification:
                    self._handle_push(reply)
                else:
                    self._handle_reply(reply)
                if self._error is not None:
                    return
        except Exception as error:
            # What follows on this connection cannot be read.
            self.lose(ConnectionError(f"invalid reply: {type(error).__name__}"))

    def eof_received(self) -> None:
        self.lose(ConnectionError("The server closed the connection."))

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(ConnectionError(str(error) if error else "The connection was closed."))

    def _handle_reply(self, reply: Any) -> None:
        pending = self._pending.popleft()
        if pending.future.done():
            return
        if isinstance(reply, ReplyError):
            pending.future.set_exception(ResponseError(str(reply)))
        else:
            pending.future.set_result(reply)

    def _handle_push(self, push: list[Any]) -> None:
        if self._pending and (channels := self._pending[0].channels) is not None and push[0] in CONFIRMATIONS:
            channels.discard(push[1])
            if not channels:
                future = self._pending.popleft().future
                if not future.done():
                    future.set_result(None)
        self._on_push(self, push)

    def _flush(self) -> None:
        if self._output and self._transport:
            self._transport.write(b"".join(self._output))
            self._output.clear()

    def _check(self) -> None:
        moment = self._loop.time()
        if self._pending and moment > self._pending[0].deadline:
            # Not at the first check: if the event loop was blocked, the reply may have arrived without being read yet.
            if self._suspected_at == self._last_received:
                self.lose(TimeoutError("The server does not answer."))
                return
            self._suspected_at = self._last_received
        elif not self._pending and moment - self._last_received > PING_INTERVAL:
            self.send("PING").add_done_callback(_ignore)
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)


def _ignore(future: "asyncio.Future[Any]") -> None:
    """Retrieve the exception, which asyncio would otherwise log: `on_lost` reports it."""
    if not future.cancelled():
        future.exception()
