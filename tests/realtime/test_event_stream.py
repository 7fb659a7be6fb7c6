"""The bytes of an event stream: chunks, heartbeats, and its end."""

import asyncio

import pytest

from service.common.close_reasons import TOKEN_EXPIRED
from service.realtime import event_stream as module
from service.realtime.event import Event, chunk
from service.realtime.event_batch import EventBatch
from service.realtime.event_stream import EventStream, UnchunkedEventStream
from service.realtime.registry import Registry
from tests.realtime.wire import identity, wired


def test_a_batch_is_one_chunk() -> None:
    one, two = (Event("NEW_COMMENT", {"seq": seq}, channel="a", sequence=seq) for seq in (1, 2))
    batch = EventBatch(["user"], one)
    assert batch.try_add(["user"], two)
    assert batch.sse_chunk == chunk(one.sse_bytes + two.sse_bytes)


def test_fields_of_the_stream_stand_in_the_block() -> None:
    event = Event("hello", {"seq": 7}, channel="a", sse_fields=b"retry: 3000\nid: 7\n")
    assert event.sse_bytes == b'retry: 3000\nid: 7\nevent: hello\ndata: {"seq":7}\n\n'
    assert event.json == b'{"type":"hello","seq":7}'


@pytest.mark.parametrize(("kind", "end"), [(EventStream, b"0\r\n\r\n"), (UnchunkedEventStream, b"")])
async def test_an_orderly_end_differs_from_a_cut(registry: Registry, kind: type[EventStream], end: bytes) -> None:
    stream = kind(registry, identity(), "notifications")
    with registry.registration(stream):
        stream.go_live([])
    async with wired(stream) as peer:
        head = await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), 5)
        assert (b"chunked" in head) == bool(end)
        stream.close(*TOKEN_EXPIRED)
        assert end == await asyncio.wait_for(peer.reader.read(), 5)


async def test_a_heartbeat_is_an_event_and_encoded_once_for_all(registry: Registry) -> None:
    streams = [EventStream(registry, identity(), "notifications") for _ in range(2)]
    for stream in streams:
        with registry.registration(stream):
            stream.go_live([])
    async with wired(streams[0]) as one, wired(streams[1]) as two:
        for peer in (one, two):
            await asyncio.wait_for(peer.reader.readuntil(b"\r\n\r\n"), 5)
        module._heartbeat.cache_clear()
        due = asyncio.get_running_loop().time() + module.HEARTBEAT_INTERVAL
        for stream in streams:
            assert due + module.HEARTBEAT_INTERVAL == stream.heartbeat(due)
        beats = [await asyncio.wait_for(peer.reader.readuntil(b"\n\n"), 5) for peer in (one, two)]
        assert all(beat.partition(b"\r\n")[2].startswith(b'event: heartbeat\ndata: {"server_time":"') for beat in beats)
        assert module._heartbeat.cache_info().misses <= 2
