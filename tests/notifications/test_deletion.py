"""Deleting notifications: lists, groups and counts, compared with what is left; what clients receive; interruptions."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from bson import ObjectId

from service.common.errors import NotFound
from service.common.ids import new_id
from service.common.profiles import Profile
from service.notifications import grouper as grouping
from service.notifications.models import DeletedSubject, PostRequest
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import ServiceProcess
from tests.notifications.test_groups import Sent, expected_groups, pages, shown
from tests.realtime.wire import queued

SENDERS = [Profile(id=new_id(), username=f"sender{number}", display_name=f"Sender {number}") for number in range(4)]


def comment_on(post_id: str, user_id: str, sender: Profile, type: Any = "NEW_COMMENT") -> PostRequest:
    return PostRequest(type, user_id, sender, post_id, new_id(), "Hello")


def reaction_to(post_id: str, comment_id: str | None, user_id: str, sender: Profile) -> PostRequest:
    return PostRequest("NEW_REACTION", user_id, sender, post_id, comment_id, "Hello", "👍")


def deleted_comment(request: PostRequest, author_id: str | None = None) -> DeletedSubject:
    author = ObjectId(author_id) if author_id else None
    return DeletedSubject(ObjectId(request.post_id), ObjectId(request.comment_id), author, [ObjectId(request.user_id)])


async def listed(process: ServiceProcess, user: str, *, unread: bool = False) -> list[int]:
    return [item.seq for item in (await process.notifications.page(user, limit=100, before=None, unread=unread)).items]


async def test_lists_groups_and_counts_are_those_of_what_is_left(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes store, group, mark and delete, also at the same time."""
    monkeypatch.setattr(grouping, "BATCH_SIZE", 4)
    chance = random.Random(19)
    processes = [start_process(), start_process()]
    user, posts = new_id(), [new_id() for _ in range(2)]
    sent: dict[int, tuple[Sent, PostRequest]] = {}
    read: set[int] = set()
    last = 0

    async def store(process: ServiceProcess) -> None:
        nonlocal last
        sender, post, type = chance.choice(SENDERS), chance.choice(posts), chance.choice(["NEW_COMMENT", "NEW_REPLY"])
        request = comment_on(post, user, sender, type)
        last += 1
        assert [None] == await process.notifications.notify([request])
        (item,) = (await process.notifications.page(user, limit=1, before=None, unread=False)).items
        sent[item.seq] = Sent(item.seq, type, post, sender.id, item.data.created_at), request

    for _ in range(25):
        one, other = chance.sample(processes, 2)
        for _ in range(chance.randrange(4)):
            await store(one)
        gone = {chance.choice(list(sent)) for _ in range(chance.randrange(4)) if sent}
        steps: list[Any] = [other.deletion.delete([deleted_comment(sent[seq][1]) for seq in gone])]
        if chance.random() < 0.5:
            steps.append(one.groups.page(user, limit=100, before=None))
        if sent and chance.random() < 0.3:
            marked = chance.choice(list(sent))
            read |= set(range(1, marked + 1))
            steps.append(one.notifications.mark_read_up_to(user, marked))
        await asyncio.gather(*steps)
        for seq in gone:
            del sent[seq]
        left = [sent[seq][0] for seq in sorted(sent)]
        for process in processes:
            assert expected_groups(left, read) == [shown(group) for group in await pages(process, user, 3)]
            assert [one.seq for one in reversed(left)] == await listed(process, user)
            unread = [one.seq for one in reversed(left) if one.seq not in read]
            assert unread == await listed(process, user, unread=True)
            assert len(unread) == await process.notifications.unread_count(user)
            assert last == (await process.read_states.inbox(user)).last_seq


async def test_a_group_whose_newest_notification_is_being_deleted_has_the_senders_of_the_others(
    process: ServiceProcess,
) -> None:
    """As long as it is only marked as deleted: who reads the group then removes it there."""
    user, post = new_id(), new_id()
    requests = [comment_on(post, user, sender) for sender in SENDERS[:2]]
    await process.notifications.notify(requests)
    assert 2 == (await process.groups.page(user, limit=10, before=None)).items[0].sender_count
    found = await process.store.about(ObjectId(user), [deleted_comment(requests[1])])
    await process.store.mark_deleted(found)
    (group,) = (await process.groups.page(user, limit=10, before=None)).items
    assert (1, 1, [SENDERS[0].id]) == (group.count, group.sender_count, [sender.id for sender in group.senders])


async def test_what_a_comment_or_post_was_about_is_deleted_for_everybody(process: ServiceProcess) -> None:
    """The comment's author loses the reactions to it, a mentioned user the mention; others keep theirs."""
    author, commenter, mentioned, post, sender = new_id(), new_id(), new_id(), new_id(), SENDERS[0]
    comment = comment_on(post, author, sender)
    mention = comment._replace(type="NEW_MENTION", user_id=mentioned)
    in_post = PostRequest("NEW_MENTION", mentioned, sender, post, None, "Hello")
    to_post = reaction_to(post, None, author, sender)
    to_comment = [reaction_to(post, comment.comment_id, commenter, each) for each in SENDERS[1:]]
    later = comment_on(post, author, SENDERS[1])
    await process.notifications.notify([comment, mention, in_post, to_post, *to_comment, later])

    recipients = [ObjectId(author), ObjectId(mentioned)]
    of_comment = DeletedSubject(ObjectId(post), ObjectId(comment.comment_id), ObjectId(commenter), recipients)
    await process.deletion.delete([of_comment])
    assert [[3, 2], [2], []] == [await listed(process, each) for each in (author, mentioned, commenter)]
    assert [2, 1, 0] == [await process.notifications.unread_count(each) for each in (author, mentioned, commenter)]

    await process.deletion.delete([DeletedSubject(ObjectId(post), None, ObjectId(author), [ObjectId(mentioned)])])
    assert [[3], []] == [await listed(process, each) for each in (author, mentioned)]


async def test_a_deleted_notification_keeps_its_number(process: ServiceProcess) -> None:
    """Clients that have it are told; those that missed it get it without what it said; it can be neither read nor
    stored again."""
    user, post = new_id(), new_id()
    requests = [comment_on(post, user, SENDERS[0]) for _ in range(3)]
    await process.notifications.notify(requests)
    (item,) = (await process.notifications.page(user, limit=1, before=3, unread=False)).items
    connection = process.connect(user)
    await process.deletion.delete([deleted_comment(requests[1])])
    count, deleted = queued(connection)
    assert ("unread_count", b'{"unread_count":2,"seq":3}') == (count.type, count.body)
    assert ("notifications_deleted", b'{"seqs":[2]}') == (deleted.type, deleted.body)
    replay = await process.notifications.replay(user, 1)
    assert [2, 3] == [event.sequence for event in replay.missed]
    assert b'"preview":"","' in replay.missed[0].body
    assert b'"read":true,"deleted":true' in replay.missed[0].body
    assert b"deleted" not in replay.missed[1].body
    assert [2, 3] == [event.sequence for event, _ in await process.notifications.backfill(f"n:{user}", 1)]
    with pytest.raises(NotFound):
        await process.notifications.mark_read(user, item.data.notification_id)
    assert [None] == await process.notifications.notify([requests[1]])
    assert [3, 1] == await listed(process, user)
    assert 2 == await process.notifications.unread_count(user)


async def test_an_interrupted_deletion_can_be_repeated(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, post = new_id(), new_id()
    requests = [comment_on(post, user, SENDERS[0]) for _ in range(3)]
    await process.notifications.notify(requests)
    await process.groups.page(user, limit=1, before=None)
    subjects = [deleted_comment(each) for each in requests[:2]]

    async def fail(*_: Any) -> None:
        raise ConnectionError

    for service, step in ((process.grouper, "remove"), (process.read_states, "mark_read")):
        with monkeypatch.context() as patch:
            patch.setattr(service, step, fail)
            with pytest.raises(ConnectionError):
                await process.deletion.delete(subjects)
    await process.deletion.delete(subjects)
    (group,) = await pages(process, user, 10)
    assert (3, 1, 1) == (group.seq, group.count, group.unread_count)
    assert 1 == await process.notifications.unread_count(user)


async def test_a_notification_that_is_deleted_while_it_is_grouped_is_not_in_its_group(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, post = new_id(), new_id()
    requests = [comment_on(post, user, sender) for sender in SENDERS]
    await process.notifications.notify(requests)
    put = process.group_store.put

    async def delete_first(user_id: str, groups: Sequence[Any]) -> bool:
        monkeypatch.setattr(process.group_store, "put", put)
        await process.deletion.delete([deleted_comment(requests[1])])
        return await put(user_id, groups)

    monkeypatch.setattr(process.group_store, "put", delete_first)
    (group,) = await pages(process, user, 10)
    assert (4, 3, 3, 3) == (group.seq, group.count, group.unread_count, group.sender_count)
