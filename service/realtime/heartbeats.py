"""Heartbeats: messages that a process sends itself, through each server of Redis in use, and nobody else receives."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog

from service.common.tasks import count_failure
from service.datastores.redis_link import RedisLink, error_code

log = structlog.get_logger()

INTERVAL = 1.0
"""Seconds between two heartbeats. If none of two returns, messages from the server may not arrive."""
TIMEOUT = 6.0
"""Seconds without a heartbeat through a server that has accepted some, after which its subscriptions are renewed: it
may no longer be the server on which messages are published. After as many without one through the main server the
process is not ready."""


class Heartbeat:
    """The heartbeats through one server.

    `accepted`: whether the server accepted the last one; only then it has to arrive. `is_due`: whether one is to be
    sent as soon as that is possible. `subscribed_at` and `returned_at`: when its channel was confirmed, infinity unless
    it is at present, and when the last one arrived, by the monotonic clock.
    """

    __slots__ = ("accepted", "is_due", "returned_at", "subscribed_at")

    def __init__(self) -> None:
        self.accepted = self.is_due = False
        self.subscribed_at = math.inf
        self.returned_at = -math.inf

    def has_returned(self, within: float) -> bool:
        """Return whether one has arrived in the last `within` seconds."""
        return time.monotonic() - self.returned_at < within


class Heartbeats:
    """Shows of each server that what this process publishes there arrives at those who have subscribed.

    One server in use means one heartbeat, so a heartbeat costs the other processes nothing, however many there are.
    """

    def __init__(self, link: RedisLink, channels: Callable[[], Iterable[bytes]]) -> None:
        """`channels()`: those of this process, spread over all slots. The first one's server is the *main* one."""
        self._link = link
        self._channels = channels
        self._main = next(iter(channels()))
        self._beats: dict[bytes, Heartbeat] = {}
        """By channel: one for each server."""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.lag = 0.0
        """Seconds that the last one took through Redis and back."""
        self.first_returned = asyncio.Event()
        """Set once the first one through the main server has arrived."""

    def __contains__(self, channel: bytes) -> bool:
        return channel in self._beats

    @property
    def return_from_main(self) -> bool:
        """Whether one has arrived through the main server in the last TIMEOUT seconds."""
        beat = self._beats.get(self._main)
        return beat is not None and beat.has_returned(TIMEOUT)

    @property
    def return_from_all(self) -> bool:
        """Whether one of the last two has arrived through each server in use."""
        return bool(self._beats) and all(beat.has_returned(2 * INTERVAL) for beat in self._beats.values())

    def start(self) -> None:
        self.on_ready()
        self.send()

    def close(self) -> None:
        self._closed = True
        if self._timer:
            self._timer.cancel()

    def on_ready(self) -> None:
        """Handle that the servers in use, or the connections to them, may have changed: send one through each from now
        on."""
        wanted = set(self._link.one_for_each_server(self._channels()))
        left = self._beats.keys() - wanted
        for channel in left:
            del self._beats[channel]
        self._link.unsubscribe(left)
        for channel in wanted - self._beats.keys():
            self._beats[channel] = Heartbeat()
            self._link.subscribe([channel])
        for channel, beat in self._beats.items():
            if beat.is_due:
                self._send(channel, beat)

    def send(self) -> None:
        """Send one through each server, and go on to do so. Renew the subscriptions of a server from which none
        returns."""
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self.send)
        for channel, beat in self._beats.items():
            is_silent = time.monotonic() - max(beat.subscribed_at, beat.returned_at) >= TIMEOUT
            if beat.accepted and is_silent:
                log.warning("bus_subscription_timeout", seconds=TIMEOUT)
                self._link.renew(channel)
            self._send(channel, beat)

    def on_subscribed(self, channel: bytes) -> None:
        """Handle that what is published to `channel` arrives from now on."""
        beat = self._beats[channel]
        beat.subscribed_at = time.monotonic()
        # Not only with the next ones: until then nobody would know whether it returns.
        self._send(channel, beat)

    def on_unsubscribed(self, channel: bytes) -> None:
        """Handle that what is published to `channel` does not arrive any more. Until it is confirmed again, which takes
        a while if there are many addresses, nothing can return."""
        self._beats[channel].subscribed_at = math.inf

    def on_message(self, channel: bytes, payload: bytes) -> None:
        """Handle a heartbeat that has returned."""
        beat = self._beats[channel]
        beat.returned_at = time.monotonic()
        self.lag = beat.returned_at - float(payload)
        if channel == self._main:
            self.first_returned.set()

    def _send(self, channel: bytes, beat: Heartbeat) -> None:
        published = self._link.publish(channel, f"{time.monotonic()}".encode())
        beat.is_due = published is None
        if published is None:
            beat.accepted = False
        else:
            published.add_done_callback(partial(self._on_sent, channel, beat))

    def _on_sent(self, channel: bytes, beat: Heartbeat, published: "asyncio.Future[Any]") -> None:
        if published.cancelled() or self._closed:
            return
        error = published.exception()
        beat.accepted = error is None
        if error:
            count_failure("bus_send")
            log.warning("bus_send_failed", error=error_code(error))
            self._link.recover(channel, error)
