"""The queue of the outbox: order within a post, and no waiting for others."""

from typing import Any, cast

from bson import ObjectId

from service.posts.outbox_queue import BUSY, OutboxQueue
from service.posts.pending import Pending

BUSY_POST, *QUIET = [ObjectId() for _ in range(5)]


def queued(*lanes: ObjectId) -> tuple[OutboxQueue, list[Pending]]:
    queue, source = OutboxQueue(), cast(Any, None)
    waiting = [Pending(source, {"_id": ObjectId(), "post_id": lane}, []) for lane in lanes]
    for pending in waiting:
        queue.put(pending)
    return queue, waiting


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
