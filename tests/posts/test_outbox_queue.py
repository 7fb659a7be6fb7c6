"""The queue of the outbox: order within a post, and no waiting for others."""

from typing import Any, cast

import pytest
from bson import ObjectId

from service.posts.outbox_queue import BURST, BUSY, MAX_BURST, OutboxQueue
from service.posts.pending import Pending

BUSY_POST, *QUIET = [ObjectId() for _ in range(5)]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def put(queue: OutboxQueue, *lanes: ObjectId) -> list[Pending]:
    waiting = [Pending(cast(Any, None), {"_id": ObjectId(), "post_id": lane}, []) for lane in lanes]
    for pending in waiting:
        queue.put(pending)
    return waiting


def queued(*lanes: ObjectId, clock: Clock | None = None) -> tuple[OutboxQueue, list[Pending]]:
    queue = OutboxQueue(clock or Clock())
    return queue, put(queue, *lanes)


def test_quiet_posts_share_a_batch_in_the_order_of_arrival() -> None:
    queue, waiting = queued(*QUIET)
    assert (4, waiting, 0) == (len(queue), queue.take(10), len(queue))


def test_a_busy_post_gets_a_batch_of_its_own() -> None:
    queue, waiting = queued(*[BUSY_POST] * BUSY, *QUIET)
    assert waiting[:BUSY] == queue.take(64)
    assert waiting[BUSY:] == queue.take(64)
    queue, waiting = queued(*QUIET, *[BUSY_POST] * BUSY)
    assert waiting[:4] == queue.take(64)
    assert waiting[4:] == queue.take(64)


def test_while_a_batch_has_documents_of_a_post_no_other_has() -> None:
    queue, waiting = queued(*[BUSY_POST] * 30, QUIET[0])
    first = queue.take(10)
    assert waiting[:10] == first
    assert waiting[30:] == queue.take(10)
    assert [] == queue.take(10)
    queue.release(first)
    assert waiting[10:20] == queue.take(10)
    assert 10 == len(queue)


def test_a_busy_post_waits_behind_those_that_waited_before_its_next_batch() -> None:
    queue, waiting = queued(*[BUSY_POST] * 30, *QUIET)
    queue.release(queue.take(10))
    assert waiting[30:] == queue.take(10)


def test_after_several_a_post_waits_for_as_many() -> None:
    """For those of the batch, and those that were behind it, but only for a moment; other posts do not wait."""
    clock = Clock()
    queue, waiting = queued(*[BUSY_POST] * 2, clock=clock)
    first = queue.take(10)
    waiting += put(queue, BUSY_POST)
    queue.release(first)
    assert BURST == pytest.approx(queue.seconds_to_next())
    assert [] == queue.take(10)
    quiet = put(queue, QUIET[0])
    assert quiet == queue.take(10)
    waiting += put(queue, BUSY_POST)
    assert [] == queue.take(10)
    waiting += put(queue, BUSY_POST)
    second = queue.take(10)
    assert waiting[2:] == second
    assert queue.seconds_to_next() is None
    queue.release(second)
    waiting += put(queue, BUSY_POST)
    clock.now += BURST / 2
    assert [] == queue.take(10)
    clock.now += BURST / 2
    assert 0 == queue.seconds_to_next()
    assert waiting[5:] == queue.take(10)
    assert not queue._bursts


def test_after_one_a_post_does_not_wait() -> None:
    queue, _ = queued(BUSY_POST)
    queue.release(queue.take(10))
    assert put(queue, BUSY_POST) == queue.take(10)


def test_a_post_does_not_wait_for_more_than_a_few() -> None:
    queue, waiting = queued(*[BUSY_POST] * (2 * MAX_BURST))
    queue.release(queue.take(2 * MAX_BURST))
    waiting = put(queue, *[BUSY_POST] * MAX_BURST)
    assert waiting == queue.take(2 * MAX_BURST)
