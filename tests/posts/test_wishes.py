"""Preferences, mutes, blocks and mentions together decide what is stored: compared with the rules, restated."""

import random
from typing import NamedTuple

from bson import ObjectId

from service.common.ids import new_id
from service.notifications.preferences import PreferencesChange
from service.posts.comment_context import CommentContext
from service.posts.comment_notices import comment_notice
from tests.notifications.service_process import ServiceProcess

KINDS = ("NEW_REPLY", "NEW_MENTION", "NEW_COMMENT")
NIGHT = {"start": "00:00", "end": "23:59", "timezone": "Asia/Kathmandu"}


class Wishes(NamedTuple):
    """What the oracle knows: pairs of users, of a user and a post, of a user and a kind."""

    blocks: set[tuple[str, str]]
    mutes: set[tuple[str, str]]
    unwanted: set[tuple[str, str]]

    def stored_type(self, user: str, sender: str, post: str, author: str, reasons: set[str]) -> str | None:
        """The type of what `user` gets for one comment on the post of `author`, for which there are `reasons`."""
        if user == sender or not self.blocks.isdisjoint({(user, sender), (user, author)}) or (user, post) in self.mutes:
            return None
        found = next((kind for kind in KINDS if kind in reasons), None)
        return None if (user, found) in self.unwanted else found


async def change_wishes(process: ServiceProcess, chance: random.Random, users: list[str], posts: list[str]) -> Wishes:
    """Let every user block, mute and choose at random."""
    wishes = Wishes(set(), set(), set())
    for user in users:
        for other in users:
            if user != other and chance.random() < 0.25:
                await process.blocks.add(user, other)
                wishes.blocks.add((user, other))
        for post in posts:
            if chance.random() < 0.25:
                await process.mutes.add(user, post)
                wishes.mutes.add((user, post))
        off = [kind for kind in KINDS if chance.random() < 0.3]
        kinds = {kind: {"in_app": kind not in off, "push": chance.random() < 0.5} for kind in KINDS}
        quiet = NIGHT if chance.random() < 0.5 else None
        change = PreferencesChange.model_validate({"kinds": kinds, "quiet_hours": quiet})
        await process.preferences.change(user, change)
        wishes.unwanted.update((user, kind) for kind in off)
    return wishes


async def test_what_is_stored_is_what_the_recipients_wish(process: ServiceProcess) -> None:
    """Quiet hours and the wish for pushes have no influence on it."""
    chance = random.Random(14)
    users = [await process.add_user() for _ in range(5)]
    names = {user: await process.username(user) for user in users}
    profiles = await process.users.profiles(users)
    posts = [new_id() for _ in range(3)]
    wishes = await change_wishes(process, chance, users, posts)
    expected: dict[str, list[tuple[str, str]]] = {user: [] for user in users}
    for _ in range(60):
        sender, author, post = chance.choice(users), chance.choice(users), chance.choice(posts)
        parent = chance.choice([None, *users])
        mentioned = chance.sample(users, chance.randrange(3))
        comment = new_id()
        context = CommentContext(profiles[sender], ObjectId(author), ObjectId(parent) if parent else None)
        content = " ".join(["Aye", *(f"@{names[user]}" for user in mentioned)])
        notice = comment_notice(ObjectId(post), ObjectId(comment), content, context)
        errors = await process.notifications.notify(await process.recipients.select(notice))
        assert not any(errors)
        for user in users:
            reasons = {
                kind
                for kind, concerned in zip(KINDS, (user == parent, user in mentioned, user == author), strict=True)
                if concerned
            }
            if type := wishes.stored_type(user, sender, post, author, reasons):
                expected[user].append((type, comment))
    found = {}
    for user in users:
        items = (await process.notifications.page(user, limit=100, before=None, unread=False)).items
        found[user] = [(item.type, getattr(item.data, "comment_id", "")) for item in reversed(items)]
    assert expected == found
    assert {kind for each in found.values() for kind, _ in each} == set(KINDS)
    assert sum(map(len, found.values())) > 20
