"""Who is notified of a post or comment, and with which type of notification."""

import asyncio
from collections.abc import Iterable, Sequence

from bson import ObjectId

from service.common.blocks import Block
from service.common.mentions import mentions_in, resolved
from service.common.profiles import Profiles
from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.notifications.models import PostNotificationType, PostRequest
from service.posts.comment_caches import CommentCaches
from service.posts.mute_store import Mute
from service.posts.notice import Candidate, Notice

PRECEDENCE: tuple[PostNotificationType, ...] = ("NEW_REPLY", "NEW_MENTION", "NEW_COMMENT", "NEW_REACTION")
"""Of several types for one user, the first one counts."""


class RecipientSelector:
    """Selects the recipients of notices. Several share the reads; those that arrive during one share the next."""

    def __init__(self, profiles: Profiles, caches: CommentCaches) -> None:
        self._profiles = profiles
        self._blocks = caches.blocks
        self._mutes = caches.mutes
        self._selections: Batcher[Notice, list[PostRequest]] = Batcher(self._select, timeout=BATCH_TIMEOUT)

    def select(self, notice: Notice) -> "asyncio.Future[list[PostRequest]]":
        """Return the notifications to store: at most one for each user; none for the sender, for those who block the
        sender or the author of the post, which then does not exist for them, and for those who have muted the post.

        Raises Unavailable, at once or from the future.
        """
        return self._selections.submit(notice)

    async def candidates(self, notices: Sequence[Notice]) -> list[list[Candidate]]:
        """Return who is concerned by each notice, also if they do not want to be notified. Raises Unavailable."""
        names = {name for notice in notices for mention in notice.mentions for name in mention}
        user_ids = await self._profiles.ids_by_username(names) if names else {}
        found: list[list[Candidate]] = []
        for notice in notices:
            mentioned = [user_id for mention in notice.mentions if (user_id := resolved(mention, user_ids))]
            mentions: list[Candidate] = [(ObjectId(user_id), "NEW_MENTION") for user_id in mentioned]
            found.append(strongest(ObjectId(notice.sender.id), [*notice.candidates, *mentions]))
        return found

    async def mentioned_in(self, text: str) -> list[ObjectId]:
        """Return the users whom a text mentions. Raises Unavailable."""
        mentions = mentions_in(text)
        names = {name for mention in mentions for name in mention}
        user_ids = await self._profiles.ids_by_username(names) if names else {}
        return [ObjectId(user_id) for mention in mentions if (user_id := resolved(mention, user_ids))]

    async def close(self) -> None:
        await self._selections.close()

    async def _select(self, notices: Sequence[Notice]) -> list[list[PostRequest]]:
        found = await self.candidates(notices)
        pairs = [(notice, candidate) for notice, each in zip(notices, found, strict=True) for candidate in each]
        blocks, mutes = await asyncio.gather(
            self._blocks.existing({block for pair in pairs for block in _blocks(*pair)}),
            self._mutes.existing({_mute(*pair) for pair in pairs}),
        )
        return [
            [
                notice.request(*candidate)
                for candidate in candidates
                if blocks.isdisjoint(_blocks(notice, candidate)) and _mute(notice, candidate) not in mutes
            ]
            for notice, candidates in zip(notices, found, strict=True)
        ]


def _blocks(notice: Notice, candidate: Candidate) -> set[Block]:
    """Return the blocks for which the candidate is not notified."""
    user_id, post_author = candidate[0], notice.post_author
    blocks = {Block(str(user_id), notice.sender.id)}
    if post_author and post_author != user_id:
        blocks.add(Block(str(user_id), str(post_author)))
    return blocks


def _mute(notice: Notice, candidate: Candidate) -> Mute:
    return candidate[0], notice.post_id


def strongest(sender: ObjectId, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return one candidate for each user but the sender: the one whose type comes first in PRECEDENCE."""
    types: dict[ObjectId, PostNotificationType] = {}
    for user_id, type in sorted(candidates, key=lambda candidate: -PRECEDENCE.index(candidate[1])):
        types[user_id] = type
    types.pop(sender, None)
    return list(types.items())
