"""Editing posts and comments: who may, whom it notifies, and what a crash leaves."""

import asyncio
from typing import Any

import pytest

from service.common.errors import Forbidden, NonceReused, NotFound
from service.notifications.preview_update import PreviewUpdate
from service.posts.models import NewComment
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import NOBODY, ServiceProcess


async def notified(process: ServiceProcess, user_id: str) -> list[tuple[str, str | None]]:
    page = await process.notifications.page(user_id, limit=100, before=None, unread=False)
    return [(item.type, item.data.comment_id) for item in page.items]  # type: ignore[union-attr]


async def previews(process: ServiceProcess, user_id: str) -> list[str]:
    page = await process.notifications.page(user_id, limit=100, before=None, unread=False)
    return [item.data.preview for item in page.items]


async def recovered(process: ServiceProcess, *users: str) -> list[list[tuple[str, str | None]]]:
    """Dispatch every notification that is marked as pending, and return those of each user."""
    await process.complete_outbox()
    return [await notified(process, user) for user in users]


async def test_an_edit_notifies_those_whom_it_mentions_for_the_first_time_once(start_process: StartProcess) -> None:
    """Also if the process that edits crashes before it does. Neither the first ones nor the authors hear of it."""
    process = start_process()
    author, ann, binh = [await process.add_user() for _ in range(3)]
    names = {user: await process.username(user) for user in (ann, binh)}
    post = await process.post(author, f"Hello @{names[ann]}")
    comment = await process.comment(ann, post, content="Nice")
    assert [[("NEW_MENTION", None)], [], [("NEW_COMMENT", comment)]] == await recovered(process, ann, binh, author)
    await process.edits.edit_post(author, post, f"Hello @{names[ann]} and @{names[binh]}")
    await process.edits.edit_comment(ann, post, comment, f"Nice, @{names[binh]}?")
    other = start_process()
    expected = [("NEW_MENTION", comment), ("NEW_MENTION", None)]
    for _ in range(2):
        ann_heard, binh_heard, author_heard = await recovered(other, ann, binh, author)
        assert ([("NEW_MENTION", None)], [("NEW_COMMENT", comment)]) == (ann_heard, author_heard)
        assert expected == sorted(binh_heard, key=lambda item: item[1] is None)
    # Nothing is added: nothing is marked.
    assert (await process.edits.edit_post(author, post, "Hello")).content == "Hello"
    assert [] == await process.post_store.pending(None, 10)
    assert [] == await process.comment_store.pending(None, 10)


async def test_an_edit_before_the_notifications_of_the_first_text_loses_none(start_process: StartProcess) -> None:
    """The process that has stored the comment removes its mark late, and only if the text is still its own."""
    process = start_process()
    author, ann, binh = [await process.add_user() for _ in range(3)]
    post = await process.post(author)
    comment = await process.stored_comment(binh, post, f"@{await process.username(ann)}")
    stale = await process.comment_store.pending(None, 10)
    await process.edits.edit_comment(binh, post, comment, "Never mind")
    await process.comment_store.clear_pending(stale)
    assert [[("NEW_COMMENT", comment)], [("NEW_MENTION", comment)]] == await recovered(start_process(), author, ann)
    assert [] == await process.comment_store.pending(None, 10)


async def test_concurrent_edits_end_with_the_text_of_one_of_them(start_process: StartProcess) -> None:
    """On several processes; all are acknowledged, and nobody is notified twice."""
    processes = [start_process() for _ in range(2)]
    author, ann = await processes[0].add_user(), await processes[0].add_user()
    name = await processes[0].username(ann)
    post = await processes[0].post(author)
    texts = [f"{number} @{name}" for number in range(6)]
    await asyncio.gather(*[processes[n % 2].edits.edit_post(author, post, text) for n, text in enumerate(texts)])
    assert (await processes[0].posts.post(NOBODY, post)).content in texts
    assert [[("NEW_MENTION", None)]] == await recovered(processes[1], ann)


async def test_only_authors_edit_and_delete(process: ServiceProcess) -> None:
    """Of others, what the user sees is forbidden; what they do not see is not there."""
    author, ann, binh = [await process.add_user() for _ in range(3)]
    post = await process.post(author)
    comment = await process.comment(ann, post)
    await process.blocks.add(binh, ann)
    for user, error in ((author, Forbidden), (binh, NotFound)):
        with pytest.raises(error):
            await process.edits.edit_comment(user, post, comment, "Changed")
        with pytest.raises(error):
            await process.deletions.delete_comment(user, post, comment)
    with pytest.raises(Forbidden):
        await process.edits.edit_post(ann, post, "Changed")
    with pytest.raises(Forbidden):
        await process.deletions.delete_post(ann, post)
    await process.post_store.erase([(await process.post_store.post(post) or {})["_id"]])
    with pytest.raises(Forbidden):
        await process.edits.edit_post(author, post, "Back")
    assert "Aye" == (await process.posts.comments(NOBODY, post, limit=1, after=0)).items[0].content


async def test_a_nonce_stands_for_the_first_text(process: ServiceProcess) -> None:
    """Of a deleted comment, for any."""
    author = await process.add_user()
    post = await process.post(author)
    new = NewComment(content="Once", nonce="n1")
    comment, _ = await process.posts.comment(author, post, new)
    edited = await process.edits.edit_comment(author, post, comment.id, "Twice")
    assert (edited, False) == await process.posts.comment(author, post, new)
    with pytest.raises(NonceReused):
        await process.posts.comment(author, post, NewComment(content="Twice", nonce="n1"))
    await process.deletions.delete_comment(author, post, comment.id)
    repeated, created = await process.posts.comment(author, post, new)
    assert (comment.id, True, "", False) == (repeated.id, repeated.deleted, repeated.content, created)
    assert 0 == (await process.posts.post(NOBODY, post)).comment_count


async def test_notifications_show_the_edited_text(process: ServiceProcess) -> None:
    """Those about the comment, of a mention that the new text no longer has, and of a reaction; for every reader of the
    notifications, and no other notifications."""
    author, ann, binh = [await process.add_user() for _ in range(3)]
    name = await process.username(ann)
    post = await process.post(author)
    comments = [await process.comment(binh, post, content=f"{text} @{name}") for text in ("Once", "Other")]
    await process.reactions.react_to_comment(ann, post, comments[0], "👍", on=True)
    await process.complete_outbox()
    await process.edits.edit_comment(binh, post, comments[0], "x" * 200)
    for user in (author, ann, binh):
        page = await process.notifications.page(user, limit=10, before=None, unread=False)
        assert page.items
        for item in page.items:
            edited = item.data.comment_id == comments[0]
            assert ("x" * 140 if edited else f"Other @{name}") == item.data.preview


async def test_of_two_edits_at_once_the_last_ones_preview_stays(
    process: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the one before updates the previews later; also if it changes the text back."""
    author, ann = [await process.add_user() for _ in range(2)]
    post = await process.post(author)
    comment = await process.comment(ann, post, content="First")
    await process.complete_outbox()
    update, late = PreviewUpdate.update, []

    async def hold(*arguments: Any) -> None:
        late.append(arguments)

    for text in ("Second", "First"):
        with monkeypatch.context() as patch:
            patch.setattr(PreviewUpdate, "update", hold)
            await process.edits.edit_comment(ann, post, comment, "Never mind")
        await process.edits.edit_comment(ann, post, comment, text)
        await update(*late.pop())
        assert [text] == await previews(process, author)


async def test_an_edit_before_the_last_one_does_not_replace_the_preview_of_a_new_notification(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stores the notification after the last edit, with its text."""
    process = start_process()
    author, ann = [await process.add_user() for _ in range(2)]
    post = await process.post(author)
    comment = await process.stored_comment(ann, post, "First")
    update, late = PreviewUpdate.update, []

    async def hold(*arguments: Any) -> None:
        late.append(arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PreviewUpdate, "update", hold)
        for text in ("Second", "Third"):
            await process.edits.edit_comment(ann, post, comment, text)
    await start_process().complete_outbox()
    for arguments in late:
        await update(*arguments)
        assert ["Third"] == await previews(process, author)


async def test_an_edit_while_the_text_before_is_being_dispatched_ends_in_the_preview(
    start_process: StartProcess,
) -> None:
    """One process stores the notification with the first text after another one has edited it."""
    process, other = start_process(), start_process()
    author, ann = [await process.add_user() for _ in range(2)]
    post = await process.post(author)
    comment = await process.comment(ann, post, content="First")
    await other.edits.edit_comment(ann, post, comment, "Second")
    await process.complete_outbox()
    assert ["First"] == await previews(process, author)
    await other.complete_outbox()
    assert ["Second"] == await previews(process, author)


@pytest.mark.parametrize("on_comment", [False, True])
async def test_an_edit_while_a_reaction_is_being_dispatched_ends_in_the_preview(
    start_process: StartProcess, on_comment: bool
) -> None:
    """One process stores the notifications of reactions, the first of which came before the edit by another one."""
    process, other = start_process(), start_process()
    author, ann, binh = [await process.add_user() for _ in range(3)]
    post = await process.post(author, "First")
    comment = await process.comment(author, post, content="First") if on_comment else None

    async def react(user: str) -> None:
        if comment:
            await process.reactions.react_to_comment(user, post, comment, "👍", on=True)
        else:
            await process.reactions.react_to_post(user, post, "👍", on=True)

    await react(ann)
    if comment:
        await other.edits.edit_comment(author, post, comment, "Second")
    else:
        await other.edits.edit_post(author, post, "Second")
    await react(binh)
    await process.complete_outbox()
    assert ["Second", "Second"] == await previews(process, author)
