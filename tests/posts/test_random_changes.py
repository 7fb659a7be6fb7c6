"""Random comments, replies, edits, deletions and reactions of several users on two processes, against an oracle."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from service.common.errors import LoaError
from service.posts.models import NewComment
from tests.notifications.conftest import StartProcess
from tests.notifications.service_process import NOBODY, ServiceProcess

ROUNDS = 4
OPERATIONS = 14
"""At the same time, in each round."""


@dataclass
class Written:
    author: str
    parent: str | None
    texts: set[str]
    """Those that may be the last one: edits at the same time may be made in any order."""
    deleted: bool = False


@dataclass
class Oracle:
    """What is known from the answers alone."""

    post_author: str
    comments: dict[str, Written] = field(default_factory=dict)
    reactions: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of a user and a comment."""

    def shown(self) -> set[str]:
        """The comments that exist, and the deleted ones that they reply to."""
        shown: set[str] = set()
        for comment_id, comment in self.comments.items():
            above: str | None = comment_id if not comment.deleted else None
            while above and above not in shown:
                shown.add(above)
                above = self.comments[above].parent
                if above and not self.comments[above].deleted:
                    break
        return shown

    def notifications(self, user: str) -> set[tuple[str, str]]:
        """The type and the comment of each notification that the user has."""
        found = set()
        for comment_id, comment in self.comments.items():
            if comment.deleted or comment.author == user:
                continue
            if comment.parent and self.comments[comment.parent].author == user:
                found.add(("NEW_REPLY", comment_id))
            elif self.post_author == user:
                found.add(("NEW_COMMENT", comment_id))
        own = {
            (reactor, comment)
            for reactor, comment in self.reactions
            if self.comments[comment].author == user and not self.comments[comment].deleted
        }
        return found | {("NEW_REACTION", comment) for reactor, comment in own if reactor != user}


@pytest.mark.parametrize("seed", [1, 2])
async def test_everything_ends_as_the_answers_say(start_process: StartProcess, seed: int) -> None:
    """Counts, tombstones, texts, notifications and unread counts, however the changes have raced."""
    choose = random.Random(seed)
    processes = [start_process(), start_process()]
    users = [await processes[0].add_user() for _ in range(3)]
    post = await processes[0].post(users[0])
    oracle = Oracle(users[0])

    async def change(process: ServiceProcess, user: str, comment: str | None, action: float, text: str) -> None:
        try:
            if comment is None or action < 0.4:
                new = NewComment(content=text, parent_id=comment)
                stored, _ = await process.posts.comment(user, post, new)
                oracle.comments[stored.id] = Written(user, comment, {text})
            elif action < 0.55:
                await process.edits.edit_comment(oracle.comments[comment].author, post, comment, text)
                edited.setdefault(comment, set()).add(text)
            elif action < 0.8:
                await process.deletions.delete_comment(oracle.comments[comment].author, post, comment)
                oracle.comments[comment].deleted = True
            else:
                await process.reactions.react_to_comment(user, post, comment, "👍", on=True)
                oracle.reactions.add((user, comment))
        except LoaError:
            # Somebody has deleted it at the same time, or before.
            if comment is None:
                raise

    for process in processes:
        await process.outbox.start()
        await process.deletion_worker.start()
    for number in range(ROUNDS):
        edited: dict[str, set[str]] = {}
        known = [None, *oracle.comments]
        await asyncio.gather(
            *[
                change(processes[n % 2], choose.choice(users), choose.choice(known), choose.random(), f"{number}.{n}")
                for n in range(OPERATIONS)
            ]
        )
        for comment_id, texts in edited.items():
            oracle.comments[comment_id].texts = texts
    for process in processes:
        await process.outbox.close()
        await process.deletion_worker.close()
    for process in processes:
        await process.outbox._recover()
        await process.deletion_worker.recover()

    page = await processes[0].posts.comments(NOBODY, post, limit=100, after=0)
    assert oracle.shown() == {comment.id for comment in page.items}
    for comment in page.items:
        expected = oracle.comments[comment.id]
        assert expected.deleted is comment.deleted
        assert comment.content in (expected.texts if not comment.deleted else {""})
        reactions = sum(subject == comment.id for _, subject in oracle.reactions)
        assert ({"👍": reactions} if reactions and not comment.deleted else {}) == comment.reactions
    living = sum(not comment.deleted for comment in oracle.comments.values())
    assert living == (await processes[0].posts.post(NOBODY, post)).comment_count
    for user in users:
        found = (await processes[0].notifications.page(user, limit=100, before=None, unread=True)).items
        assert oracle.notifications(user) == {(each.type, each.data.comment_id) for each in found}  # type: ignore[union-attr]
        assert len(found) == await processes[1].notifications.unread_count(user)
