"""What can be reported: whether the reporter sees it, and how it looks."""

from typing import Any, NamedTuple

from bson import ObjectId

from service.accounts.users import UserStore
from service.attachments.attachments import FIELD
from service.chat.conversation_store import ConversationStore
from service.chat.message_store import MessageStore
from service.common.errors import NotFound
from service.datastores.mongo import Document
from service.posts.comment_store import CommentStore
from service.posts.post_store import has_content
from service.posts.visibility import Visibility


class ReportedContent(NamedTuple):
    """A subject as it is now. `place_id`: the conversation or post that it is in. `snapshot`: what a report stores."""

    author_id: ObjectId
    place_id: ObjectId | None
    snapshot: dict[str, Any]


class Subjects:
    """Finds subjects by their kind and id, for those who see them. Methods raise NotFound and Unavailable."""

    def __init__(
        self,
        users: UserStore,
        conversations: ConversationStore,
        messages: MessageStore,
        comments: CommentStore,
        visibility: Visibility,
    ) -> None:
        self._users = users
        self._conversations = conversations
        self._messages = messages
        self._comments = comments
        self._visibility = visibility

    async def find(self, viewer: str, kind: str, id: str) -> ReportedContent:
        """Return what `viewer` sees of the subject. Deleted content, and that of deleted users, is not there."""
        match kind:
            case "user":
                user = await self._users.get(id)
                if user is None or user.is_deleted:
                    raise NotFound
                return ReportedContent(ObjectId(id), None, {"profile": user.profile.model_dump()})
            case "message":
                message = await self._messages.anywhere(ObjectId(id))
                if message is None:
                    raise NotFound
                start = await self._conversations.check_participant(message["conversation_id"], ObjectId(viewer))
                if message["seq"] <= start:
                    raise NotFound
                return _content(message, message["sender_id"], message["conversation_id"])
            case "post":
                post = await self._visibility.post(viewer, id)
                return _content(post, post["author_id"], None)
            case _:
                place = await self._comments.post_of(ObjectId(id))
                if place is None:
                    raise NotFound
                comment = await self._visibility.comment(viewer, str(place), id)
                return _content(comment, comment["author_id"], place)


def _content(document: Document, author_id: ObjectId, place_id: ObjectId | None) -> ReportedContent:
    if not has_content(document):
        raise NotFound
    files = list(document.get(FIELD, ()))
    snapshot = {"content": document["content"], "attachments": files, "created_at": document["created_at"]}
    return ReportedContent(author_id, place_id, snapshot)
