"""The notices of reactions: the author of a post or comment is notified of each user who reacts to it, once."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from bson import ObjectId

from service.common.profiles import Profile, Profiles, profile_of
from service.datastores.mongo import Document
from service.notifications.models import DeletedSubject
from service.notifications.preview_update import PreviewUpdate
from service.posts.comment_store import CommentStore
from service.posts.notice import Candidate, Notice
from service.posts.pending import PENDING, Pending, Selection
from service.posts.post_store import PostStore, author_of
from service.posts.reaction_state import Change, Subject, bucket_id
from service.posts.reaction_store import ReactionStore, subject_of


class ReactionNotices:
    """The reactions whose notifications, or the count of which, may be missing: a PendingSource."""

    def __init__(
        self,
        reactions: ReactionStore,
        posts: PostStore,
        comments: CommentStore,
        profiles: Profiles,
        previews: PreviewUpdate,
    ) -> None:
        self._reactions = reactions
        self._posts = posts
        self._comments = comments
        self._profiles = profiles
        self._previews = previews

    def stored(self, change: Change, notice: Notice | None, selection: Selection | None) -> Pending:
        """Return a reaction that has just been stored. `notice` is None if the author has been notified of the user."""
        subject = change.subject
        document = {
            "_id": bucket_id(subject.id, change.user_id),
            "post_id": subject.post_id,
            "comment_id": subject.comment_id,
            PENDING: [str(change.user_id)] if notice else [],
        }
        return Pending(self, document, [notice], [selection]) if notice else Pending(self, document, [])

    async def pending(self, after: ObjectId | None, limit: int) -> list[Pending]:
        found = await self._reactions.pending(after, limit)
        if not found:
            return []
        subjects = await self.documents({subject_of(document) for document in found})
        profiles = await self._profiles.profiles({user_id for document in found for user_id in document[PENDING]})
        return [Pending(self, document, _notices(document, subjects, profiles)) for document in found]

    async def complete(self, done: Sequence[Pending]) -> None:
        await self._show_edits([notice for each in done for notice in each.notices])
        await self._reactions.clear_pending(
            [(subject_of(each.document), each.document["_id"], each.document[PENDING]) for each in done]
        )

    async def documents(self, subjects: set[Subject]) -> dict[Subject, Document]:
        """Return those of the posts and comments that exist: no comment of a deleted post does. Raises Unavailable."""
        posts, comments = await asyncio.gather(
            self._posts.by_ids({subject.post_id for subject in subjects}),
            self._comments.by_places({(subject.post_id, subject.id) for subject in subjects if subject.comment_id}),
        )
        found = {Subject(document["_id"]): document for document in posts}
        return found | {
            Subject(document["post_id"], document["_id"]): document
            for document in comments
            if Subject(document["post_id"]) in found
        }

    async def _show_edits(self, notices: Sequence[Notice]) -> None:
        """Update the previews of notifications of which the post or comment was edited while they were dispatched.

        An edit that this read does not find yet finds the notifications itself: they are stored.
        """
        shown: dict[Subject, set[datetime | None]] = {}
        for notice in notices:
            shown.setdefault(Subject(notice.post_id, notice.comment_id), set()).add(notice.edited_at)
        for subject, document in (await self.documents(set(shown))).items() if shown else ():
            edited_at = document.get("edited_at")
            if edited_at and {edited_at} != shown[subject]:
                about = DeletedSubject(subject.post_id, subject.comment_id, author_of(document), [])
                await self._previews.update(about, document["content"], edited_at)


def reaction_notice(subject: Subject, document: Document, sender: Profile, emoji: str) -> Notice:
    """Return what the author of the post or comment `document` is notified of."""
    author = author_of(document)
    candidates: list[Candidate] = [(author, "NEW_REACTION")] if author else []
    return Notice(
        sender,
        subject.post_id,
        subject.comment_id,
        document["content"],
        candidates,
        emoji=emoji,
        edited_at=document.get("edited_at"),
    )


def _notices(document: Document, subjects: Mapping[Subject, Document], profiles: Mapping[str, Profile]) -> list[Notice]:
    subject = subject_of(document)
    if subject not in subjects:
        return []
    # Who has removed their reaction again is not worth a notification.
    first = {user_id: emojis[0] for user_id in document[PENDING] if (emojis := document["users"].get(user_id))}
    return [
        reaction_notice(subject, subjects[subject], profile_of(user_id, profiles), emoji)
        for user_id, emoji in first.items()
    ]
