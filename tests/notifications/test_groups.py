"""Groups of notifications, compared with what a list of all notifications says."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import pytest
from bson import ObjectId

from service.common.errors import NotFound
from service.common.ids import new_id
from service.common.profiles import Profile
from service.common.times import now
from service.datastores.mongo import Mongo
from service.notifications import grouper as grouping
from service.notifications import notification_store
from service.notifications.models import CustomRequest, NotificationGroup
from service.notifications.sender_sketch import SIZE, SenderSketch
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess

DAY = timedelta(days=1)


class Sent(NamedTuple):
    """A notification as the oracle knows it. `about`: the post or group key; None: it stays by itself."""

    seq: int
    type: str
    about: str | None
    sender: str | None
    at: datetime


def expected_groups(sent: list[Sent], read: set[int]) -> list[dict[str, Any]]:
    """The groups of `sent`, which is ascending, newest first."""
    groups: list[list[Sent]] = []
    for one in sent:
        same = [group for group in groups if one.about and (group[0].type, group[0].about) == (one.type, one.about)]
        if same and one.at - same[-1][0].at <= 7 * DAY:
            same[-1].append(one)
        else:
            groups.append([one])
    return [
        {
            "type": group[0].type,
            "seq": group[-1].seq,
            "count": len(group),
            "unread_count": len([one for one in group if one.seq not in read]),
            "senders": list(islice(dict.fromkeys(one.sender for one in reversed(group) if one.sender), 3)),
            "sender_count": len({one.sender for one in group if one.sender}),
            "latest": group[-1].seq,
        }
        for group in sorted(groups, key=lambda group: -group[-1].seq)
    ]


def shown(group: NotificationGroup) -> dict[str, Any]:
    fields = {name: getattr(group, name) for name in ("type", "seq", "count", "unread_count", "sender_count")}
    return fields | {"senders": [sender.id for sender in group.senders], "latest": group.latest.seq}


async def pages(process: ServiceProcess, user: str, limit: int) -> list[NotificationGroup]:
    found: list[NotificationGroup] = []
    before = None
    while True:
        page = await process.groups.page(user, limit=limit, before=before)
        assert len(page.items) == limit or page.next is None
        found += page.items
        before = page.next
        if before is None:
            return found


async def test_groups_agree_with_the_list_of_all_notifications(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes store, group, list and mark, also at the same time; weeks pass in between."""
    monkeypatch.setattr(grouping, "BATCH_SIZE", 7)
    for seed in range(3):
        await _check_at_random(random.Random(seed), [start_process(), start_process()], monkeypatch)


async def _check_at_random(
    chance: random.Random, processes: list[ServiceProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(notification_store, "now", lambda: clock)
    user = await processes[0].add_user()
    senders = [await processes[0].add_user(f"Sender {number}") for number in range(5)]
    posts = [new_id() for _ in range(3)]
    sent: list[Sent] = []
    read: set[int] = set()
    for _ in range(60):
        process = chance.choice(processes)
        match chance.choice(["send", "send", "send", "time", "one", "up_to", "group", "post", "both", "list"]):
            case "send":
                for _ in range(chance.randrange(1, 6)):
                    sender = chance.choice(senders)
                    if chance.random() < 0.6:
                        type, about = chance.choice(["NEW_COMMENT", "NEW_REPLY"]), chance.choice(posts)
                        [error] = await process.notifications.notify(
                            [process.request(user, sender, type=type, post_id=about)]
                        )
                    else:
                        type, key = chance.choice(["ORDER_PAID", "ORDER_SENT"]), chance.choice([None, "7", "a:b"])
                        profile = chance.choice([None, Profile(id=sender, username="", display_name="")])
                        custom = CustomRequest(type, user, profile, "Hello", group_key=key)
                        [error] = await process.notifications.notify([custom])
                        about, sender = key, sender if profile else None
                    assert error is None
                    sent.append(Sent(len(sent) + 1, type, about, sender, clock))
            case "time":
                clock += chance.choice([DAY / 24, 3 * DAY, 7 * DAY])
            case "one" if sent:
                item = (await process.notifications.page(user, limit=1, before=sent[-1].seq + 1, unread=False)).items[0]
                await process.notifications.mark_read(user, item.data.notification_id)
                read.add(item.seq)
            case "up_to" if sent:
                seq = chance.randrange(1, len(sent) + 1) // 2
                if seq:
                    await process.notifications.mark_read_up_to(user, seq)
                    read |= set(range(1, seq + 1))
            case "group" if sent:
                group = chance.choice(await pages(process, user, 50))
                oldest = next(one for one in expected_groups(sent, read) if one["seq"] == group.seq)
                seq = chance.choice([group.seq, group.seq + 5, max(1, group.seq - 3)])
                count = await process.groups.mark_group(user, group.key, seq)
                members = await _members(process, user, group)
                assert oldest["count"] == len(members)
                read |= {number for number in members if number <= seq}
                assert len(sent) - len(read) == count
            case "post":
                post = chance.choice([*posts, new_id()])
                count = await process.groups.mark_post(user, post)
                read |= {one.seq for one in sent if one.about == post}
                assert len(sent) - len(read) == count
            case "both" if sent:
                post = chance.choice(posts)
                await asyncio.gather(*[each.groups.mark_post(user, post) for each in processes])
                read |= {one.seq for one in sent if one.about == post}
            case "list":
                limit = chance.randrange(1, 6)
                assert expected_groups(sent, read) == list(map(shown, await pages(process, user, limit)))
                assert len(sent) - len(read) == await process.notifications.unread_count(user)


async def _members(process: ServiceProcess, user: str, group: NotificationGroup) -> set[int]:
    """The numbers in a group, as the key names it."""
    subject, _, first = group.key.rpartition(":")
    stored = await process.group_store.one(user, subject, int(first))
    assert stored
    return set(stored.seqs)


async def test_unknown_keys_are_not_found(process: ServiceProcess) -> None:
    """Nor are those of others."""
    user, other, sender = [await process.add_user() for _ in range(3)]
    await process.notifications.notify([process.request(user, sender)])
    [group] = await pages(process, user, 10)
    for key in ("NEW_COMMENT", f"{group.key}1", "NEW_COMMENT:1", ":1", "x:١", f"x:{'9' * 30}"):
        with pytest.raises(NotFound):
            await process.groups.mark_group(user, key, 1)
    with pytest.raises(NotFound):
        await process.groups.mark_group(other, group.key, 1)
    assert 0 == await process.groups.mark_group(user, group.key, 1)


async def test_deleted_notifications_leave_their_group(process: ServiceProcess) -> None:
    """A group whose newest ones are gone ends with one that exists; one without any is gone."""
    user, sender = await process.add_user(), await process.add_user()
    post, other = new_id(), new_id()
    await process.notifications.notify([process.request(user, sender, post_id=post) for _ in range(3)])
    await process.notifications.notify([process.request(user, sender, post_id=other)])
    await process.notifications.notify([process.request(user, sender, post_id=post) for _ in range(3)])
    assert [(7, 6), (4, 1)] == [(group.seq, group.count) for group in await pages(process, user, 10)]
    await process.inboxes.raise_last_seqs({ObjectId(user): 7})
    await process.store.delete(await process.store.between(user, 3, 7))
    assert [(2, 2)] == [(group.seq, group.count) for group in await pages(process, user, 10)]
    await process.store.delete(await process.store.between(user, 1, 2))
    assert [] == await pages(process, user, 10)


async def test_a_large_group_is_read_in_bounded_steps(process: ServiceProcess, mongo: Mongo) -> None:
    """An inbox of 1,500, nearly all of one group, is grouped in the background and listed from two documents."""
    user, sender = await process.add_user(), await process.add_user()
    post, other = new_id(), new_id()
    await process.grouper.start()
    for start in range(0, 1500, 100):
        requests = [process.request(user, sender, post_id=post) for _ in range(99)]
        await process.notifications.notify([*requests, process.request(user, sender, post_id=other)])
        assert start + 100 == (await process.read_states.inbox(user)).last_seq
    async with asyncio.timeout(20):
        while ((await process.inboxes.inbox(user)).grouped_up_to or 0) <= 1500 - grouping.BATCH_SIZE:
            await asyncio.sleep(0.01)
    groups = await pages(process, user, 10)
    assert {(1485, 1485, 1), (15, 15, 1)} == {(group.count, group.unread_count, group.sender_count) for group in groups}
    assert 2 == await mongo.database["notification_groups"].count_documents({})
    large = max(groups, key=lambda group: group.count)
    assert 15 == await process.groups.mark_group(user, large.key, large.seq)
    assert 15 == sum(group.unread_count for group in await pages(process, user, 10))
    assert 15 == len((await process.notifications.page(user, limit=100, before=None, unread=True)).items)


async def test_only_the_newest_notifications_of_an_earlier_version_are_grouped(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "MAX_INITIAL", 5)
    user, sender = await process.add_user(), await process.add_user()
    post = new_id()
    await process.notifications.notify([process.request(user, sender, post_id=post) for _ in range(9)])
    [group] = await pages(process, user, 10)
    assert (9, 5) == (group.seq, group.count)


async def test_groups_of_deleted_notifications_expire(process: ServiceProcess, mongo: Mongo) -> None:
    user, sender = await process.add_user(), await process.add_user()
    await process.notifications.notify([process.request(user, sender) for _ in range(3)])
    await pages(process, user, 10)
    assert 0 == await process.group_store.expire(now())
    assert 3 == await process.group_store.expire(now() + timedelta(days=7, minutes=1))
    assert 0 == await mongo.database["notification_groups"].count_documents({})


def test_senders_are_counted_exactly_up_to_a_thousand() -> None:
    """Above it the count is an estimate, which never decreases, whatever the order and the repetitions."""
    chance = random.Random(7)
    senders = [ObjectId(chance.randbytes(12)) for _ in range(50_000)]
    sketch = SenderSketch()
    for count in range(1, SIZE):
        sketch.add([senders[count - 1], senders[0]])
        assert count == sketch.count
    counts = []
    for start in range(0, len(senders), 1000):
        sketch = SenderSketch(sketch.to_bytes())
        sketch.add(senders[start : start + 1000])
        counts.append(sketch.count)
    assert sorted(counts) == counts
    assert 45_000 < counts[-1] < 55_000
    other = SenderSketch()
    other.add(chance.sample(senders, len(senders)))
    assert other.to_bytes() == sketch.to_bytes()
    assert len(sketch.to_bytes()) == 8 * SIZE
