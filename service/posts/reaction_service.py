"""Reacting to posts and comments."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bson import ObjectId

from service.common.blocks import Block, Blocks
from service.common.emoji import parse_emoji
from service.common.errors import NotFound
from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.mongo import Document
from service.posts.busy_posts import BusyPosts
from service.posts.live_posts import LivePosts
from service.posts.models import Comment, Post
from service.posts.mute_store import MuteStore
from service.posts.notification_outbox import NotificationOutbox
from service.posts.reaction_notices import ReactionNotices, reaction_notice
from service.posts.reaction_state import Change, Subject
from service.posts.reaction_store import TOTALS, ReactionStore
from service.posts.views import PostViews


class Target(NamedTuple):
    """What a user reacts to."""

    subject: Subject
    user_id: str


class Context(NamedTuple):
    """The post or comment, the profiles of its author and of the user, and whether the user has muted it."""

    document: Document
    profiles: Mapping[str, Profile]
    muted: bool


class ReactionService:
    """Adds and removes reactions, idempotently. All ids are strings of 24 hex digits. Methods raise Unavailable.

    Of many that arrive together, as when a post is liked by a thousand users a second, each kind of read and write is
    one command for all.
    """

    def __init__(
        self,
        reactions: ReactionStore,
        notices: ReactionNotices,
        profiles: Profiles,
        mutes: MuteStore,
        blocks: Blocks,
        outbox: NotificationOutbox,
        live: LivePosts,
        views: PostViews,
        busy: BusyPosts,
    ) -> None:
        self._reactions = reactions
        self._notices = notices
        self._profiles = profiles
        self._mutes = mutes
        self._blocks = blocks
        self._outbox = outbox
        self._live = live
        self._views = views
        self._busy = busy
        self._loads: Batcher[Target, Context] = Batcher(self._load, timeout=BATCH_TIMEOUT)

    async def close(self) -> None:
        await self._loads.close()

    async def react_to_post(self, user_id: str, post_id: str, emoji: str, *, on: bool) -> Post:
        """Return the post with the change. Raises NotFound, and ValidationFailed (`emoji`)."""
        context, own = await self._react(Subject(ObjectId(post_id)), user_id, emoji, on=on)
        return self._views.new_post(context.document, context.profiles, muted=context.muted, my_reactions=own)

    async def react_to_comment(self, user_id: str, post_id: str, comment_id: str, emoji: str, *, on: bool) -> Comment:
        """Return the comment with the change. Raises NotFound, and ValidationFailed (`emoji`)."""
        context, own = await self._react(Subject(ObjectId(post_id), ObjectId(comment_id)), user_id, emoji, on=on)
        author = profile_of(str(context.document["author_id"]), context.profiles)
        return self._views.new_comment(context.document, author, my_reactions=own)

    async def _react(self, subject: Subject, user_id: str, text: str, *, on: bool) -> tuple[Context, Sequence[str]]:
        """Store the change and enqueue the notification of the author. Returns the post or comment after it, and the
        user's own reactions."""
        emoji = parse_emoji(text)
        async with self._busy.turn(str(subject.post_id)):
            return await self._react_in_turn(subject, user_id, emoji, on=on)

    async def _react_in_turn(
        self, subject: Subject, user_id: str, emoji: str, *, on: bool
    ) -> tuple[Context, Sequence[str]]:
        context = await self._loads.submit(Target(subject, user_id))
        change = Change(subject, ObjectId(user_id), emoji, on)
        sender = profile_of(user_id, context.profiles)
        notice = reaction_notice(subject, context.document, sender, emoji) if on else None
        selection = self._outbox.prepare(notice) if notice else None
        reacted = await self._reactions.change(change)
        if reacted.is_first:
            self._outbox.enqueue(self._notices.stored(change, notice, selection))
        elif reacted.changed:
            self._outbox.enqueue(self._notices.stored(change, None, None))
        if subject.comment_id:
            self._live.comment_changed(str(subject.post_id), str(subject.comment_id))
        else:
            self._live.post_changed(str(subject.post_id))
        return context._replace(document={**context.document, TOTALS: reacted.totals}), reacted.own

    async def _load(self, targets: Sequence[Target]) -> list[Context | Exception]:
        pairs = {(ObjectId(target.user_id), target.subject.post_id) for target in targets}
        documents, mutes = await asyncio.gather(
            self._notices.documents({target.subject for target in targets}), self._mutes.existing(pairs)
        )
        authors = {subject: str(document["author_id"]) for subject, document in documents.items()}
        # Also whether they block the author of the post that a comment is on.
        concerned = {
            target: {
                Block(target.user_id, authors[subject])
                for subject in (target.subject, Subject(target.subject.post_id))
                if subject in authors
            }
            for target in targets
        }
        profiles, blocks = await asyncio.gather(
            self._profiles.profiles({*authors.values(), *(target.user_id for target in targets)}),
            self._blocks.existing(set().union(*concerned.values())),
        )
        return [
            Context(documents[target.subject], profiles, (ObjectId(target.user_id), target.subject.post_id) in mutes)
            # What somebody whom they block has written does not exist for the user.
            if target.subject in authors and concerned[target].isdisjoint(blocks)
            else NotFound()
            for target in targets
        ]
