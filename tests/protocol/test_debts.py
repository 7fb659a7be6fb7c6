"""A comment never waits for its notification nor fails with it; and a stored comment's notification is never lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Datastores
from tests.protocol.contract import Contract
from tests.protocol.servers import served
from tests.protocol.test_notifications import check
from tests.protocol.wire import Wire
from tests.protocol.world import World
from tests.running import eventually

NOTIFICATIONS = "notification"
"""Part of the names of the collections that notifications are written to, and comments are not."""


@pytest.fixture
async def wire(datastores: Datastores) -> AsyncIterator[Wire]:
    async with Wire(datastores.database(f"debts_{uuid4().hex}")) as wire:
        yield wire


async def refusal(wire: Wire) -> None:
    """Until a write has failed that had been asked for after this was called."""
    before = wire.refused
    await asyncio.to_thread(eventually, lambda: wire.refused > before, 20.0)


async def test_comments_while_notifications_cannot_be_written(wire: Wire, tmp_path: Path, contract: Contract) -> None:
    """Comments are answered as ever; once notifications can be written each is paid once, also after a kill -9."""
    async with served(tmp_path, MONGODB_URI=wire.uri) as server, World(server, contract) as world:
        anna, ben = await world.people(2)
        post = await anna.publish()
        stream = await anna.stream()
        comments = [await ben.comment(post)]
        check(await stream.notification(), "NEW_COMMENT", 1, ben, comments[0])

        wire.fails = NOTIFICATIONS
        async with asyncio.timeout(5):
            comments += [await ben.comment(post) for _ in range(5)]
        await refusal(wire)
        assert {"items": comments, "next": None} == await anna.get(f"/posts/{post}/comments")
        assert [1] == stream.seqs
        wire.fails = ""
        for seq in range(2, 7):
            check(await stream.notification(), "NEW_COMMENT", seq, ben, comments[seq - 1])

        wire.fails = NOTIFICATIONS
        comments += [await ben.comment(post) for _ in range(3)]
        await refusal(wire)
        (worker,) = server.workers
        os.kill(worker, signal.SIGKILL)
        await stream.closed()
        await asyncio.to_thread(eventually, lambda: server.workers not in ([], [worker]), 20.0)
        await asyncio.to_thread(eventually, lambda: server.status("/readyz") == 200, 20.0)
        again = await anna.stream(last_event_id=stream.last_event_id)
        wire.fails = ""
        paid = [await again.notification() for _ in range(3)]
        assert [7, 8, 9] == [notification["seq"] for notification in paid]
        listed = (await anna.get("/notifications"))["items"]
        assert sorted(comment["id"] for comment in comments) == sorted(item["data"]["comment_id"] for item in listed)
        assert {"unread_count": 9} == await anna.get("/notifications/unread_count")
