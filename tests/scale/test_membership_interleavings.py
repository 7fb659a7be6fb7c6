"""Whatever overtakes what: who was removed from a room gets nothing from after the removal, and the others get all."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.realtime import dispatcher as module
from service.realtime.bus import LocalBus
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.event_stream import EventStream
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from tests.realtime.wire import identity, queued
from tests.scale.bus_process import message

TOPIC = "c:1"
PUBLISHERS = 4
STAYING = [f"user{number}" for number in range(18)]
EVERYBODY = [*STAYING, "removed"]


class Receiver:
    """A process with connections of one who stays and of one who is removed after the event `removed_after`.

    `stored`: the last event in the database, which has the members of the version that this event is for.
    """

    def __init__(self, removed_after: int) -> None:
        self.stored = 0
        self.bus = LocalBus()
        self._removed_after = removed_after
        self._registry = Registry(TimerWheel())
        self._dispatcher = Dispatcher(self.bus, self._registry)
        self._dispatcher.set_backfill("c:", self._backfill)
        self._streams = {user: self._connect(user) for user in ("user0", "removed")}

    def _connect(self, user_id: str) -> EventStream:
        stream = EventStream(self._registry, identity(user_id), "chat")
        self._registry.register(stream)
        self._dispatcher.join_room(TOPIC, 0, user_id)
        return stream

    async def _backfill(self, topic: str, after: int) -> list[tuple[Event, list[str]]]:
        last = self.stored
        await asyncio.sleep(0)
        self._dispatcher.remember_members(topic, *members(last, self._removed_after))
        return [(message(topic, each), members(last, self._removed_after)[1]) for each in range(after + 1, last + 1)]

    async def received(self, user_id: str) -> list[int]:
        while self._dispatcher.gap_tasks:
            await asyncio.wait(self._dispatcher.gap_tasks)
        return [event.sequence for event in queued(self._streams[user_id])]


def members(sequence: int, removed_after: int) -> tuple[int, list[str]]:
    """Return the version of the membership that an event is for, and the members."""
    return (1, EVERYBODY) if sequence <= removed_after else (2, STAYING)


def published(sequence: int, removed_after: int) -> tuple[dict[str, Any], bytes]:
    """Return the head and the body of an event as it leaves the process that publishes it."""
    bus, sent = LocalBus(), []
    bus.on("event", lambda head, body: sent.append((head, body)))
    version, recipients = members(sequence, removed_after)
    Dispatcher(bus, Registry(TimerWheel())).publish(message(TOPIC, sequence), recipients, room=True, version=version)
    return sent[0]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_nobody_gets_an_event_from_after_their_removal(data: Any) -> None:
    """Each of four buses keeps the order of its own events. The database may be ahead of what has arrived, and a read
    of it may take longer than the arrival of what follows."""
    count = data.draw(st.integers(1, 12), "events")
    removed_after = data.draw(st.integers(0, count), "removed after")
    waiting: list[list[int]] = [[] for _ in range(PUBLISHERS)]
    for sequence in range(1, count + 1):
        waiting[data.draw(st.integers(0, PUBLISHERS - 1), "publisher")].append(sequence)

    async def run() -> tuple[list[int], list[int]]:
        receiver = Receiver(removed_after)
        while any(waiting):
            sequence = data.draw(st.sampled_from([each for each in waiting if each]), "next").pop(0)
            ahead = data.draw(st.integers(0, 3), "ahead")
            receiver.stored = max(receiver.stored, min(sequence + ahead, count))
            receiver.bus.publish("event", *published(sequence, removed_after))
            for _ in range(data.draw(st.integers(0, 3), "turns")):
                await asyncio.sleep(0)
        return await receiver.received("user0"), await receiver.received("removed")

    wait, module.GAP_WAIT = module.GAP_WAIT, 0
    try:
        staying, removed = asyncio.run(run())
    finally:
        module.GAP_WAIT = wait
    assert list(range(1, count + 1)) == staying
    assert not [sequence for sequence in removed if sequence > removed_after]
