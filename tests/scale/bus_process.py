"""The part of a Loa process between its services and its connections. Several on one Redis are a deployment."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from service.datastores.redis import TAG
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.realtime.wire import identity, queued


class CountingBus(RedisBus):
    """Counts what arrives."""

    def __init__(self, url: str, tag: str = TAG) -> None:
        super().__init__(url, tag)
        self.bytes_received: Counter[str] = Counter()
        """By address; `all` stands for the messages to every process. Without heartbeats."""
        self.messages_received = 0
        """Those to addresses."""
        self.heartbeats_received: Counter[bytes] = Counter()
        """By channel."""

    def on_message(self, channel: bytes, payload: bytes) -> None:
        if channel in self._heartbeats:
            self.heartbeats_received[channel] += 1
        else:
            address = "all" if channel == self._control else self._addresses.address(channel)
            self.bytes_received[address] += len(payload)
            self.messages_received += channel != self._control
        super().on_message(channel, payload)


class BusProcess:
    def __init__(self, url: str) -> None:
        self.bus = CountingBus(url)
        self.registry = Registry(TimerWheel())
        self.dispatcher = Dispatcher(self.bus, self.registry)
        self.streams: dict[str, EventStream] = {}

    async def connect(self, *user_ids: str) -> None:
        """Register a connection of each user, which keeps its events in the queue, and wait for their addresses."""
        for user_id in user_ids:
            stream = self.streams[user_id] = EventStream(self.registry, identity(user_id), "chat")
            stream.queue.max_events = stream.queue.max_bytes = 1 << 30
            self.registry.register(stream)
        await asyncio.gather(*(self.dispatcher.subscriptions.wait(user_id) for user_id in user_ids))

    def disconnect(self, *user_ids: str) -> None:
        for user_id in user_ids:
            self.registry.unregister(self.streams.pop(user_id))

    def publish(self, topic: str, sequences: Iterable[int], recipients: list[str], *, room: bool = False) -> None:
        for sequence in sequences:
            self.dispatcher.publish(message(topic, sequence), recipients, room=room)

    def sequences(self, user_id: str) -> list[int]:
        """Return the sequence numbers of the events that the user has received."""
        return [event.sequence for event in queued(self.streams[user_id]) if event.sequence]

    def types(self, user_id: str) -> list[str]:
        return [event.type for event in queued(self.streams[user_id])]

    async def sent(self) -> None:
        """Wait until Redis has accepted everything."""
        await until(lambda: not self.bus.outbox_size)

    async def close(self) -> None:
        await self.dispatcher.close()
        await self.bus.close()


def message(topic: str, sequence: int) -> Event:
    return Event("new_message", {"data": "x" * 200}, channel="chat", topic=topic, sequence=sequence)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
