"""The previews of notifications about posts and comments that have been edited."""

from datetime import datetime

from bson import ObjectId

from service.common.text import cut
from service.notifications.models import DeletedSubject
from service.notifications.notification_store import PREVIEW_LENGTH, NotificationStore


class PreviewUpdate:
    """Replaces the previews in stored notifications. Clients have the new ones when they read the list again.

    Of several edits at the same time, the last one's preview stays, in whichever order their updates arrive. A
    notification that is stored only after this, because the text before was being dispatched, gets the new preview when
    the post or comment is dispatched again: the edit has renewed its mark. That of a reaction gets it before the
    mark of the reaction is removed.
    """

    def __init__(self, store: NotificationStore) -> None:
        self._store = store

    async def update(self, subject: DeletedSubject, content: str, edited_at: datetime) -> None:
        """Let the notifications about a post or comment, and about reactions to it, show the text that it has since it
        was edited at `edited_at`: each edit has another time.

        `subject`: as for NotificationDeletion. Can be repeated. Raises Unavailable.
        """
        preview = cut(content, PREVIEW_LENGTH)
        concerned: set[ObjectId] = {*subject.recipients, *([subject.author_id] if subject.author_id else [])}
        for user_id in concerned:
            found = await self._store.about(user_id, [subject])
            if found:
                await self._store.set_preview(found, preview, edited_at)
