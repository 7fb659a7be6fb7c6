"""Examples of bodies and frames for the OpenAPI and AsyncAPI documents, composed field by field.

A field has the same name and meaning wherever it occurs, so an example is given once: in EXAMPLES, by the field's name
or by `Model.field`. A model that needs another one has it in its own schema, as `Field(examples=[…])`, or for the whole
object as `json_schema_extra={"examples": [{…}]}`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Schema = dict[str, Any]

ANN, BINH = (f"6650a1f2c3d4e5f60718293{digit}" for digit in "ab")
CONVERSATION, MESSAGE, POST, COMMENT, NOTIFICATION, SESSION = (f"6650b0d7e8f90a1b2c3d4e{n}0" for n in "123456")
ATTACHMENT = "6650b0d7e8f90a1b2c3d4e70"
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI2NjUwYTFmMiJ9.c2lnbmF0dXJl"  # noqa: S105  # not a valid one
CREATED, LATER = "2026-05-24T14:03:11.482Z", "2026-05-24T14:18:11.482Z"

EXAMPLES: Mapping[str, Any] = {
    # Ids.
    "id": ANN,
    "Sender.id": BINH,
    "Conversation.id": CONVERSATION,
    "AnnouncedConversation.id": CONVERSATION,
    "Message.id": MESSAGE,
    "Message.event": None,
    "Post.id": POST,
    "Comment.id": COMMENT,
    "SessionView.id": SESSION,
    "WebhookMessageData.id": MESSAGE,
    "WebhookConversationData.id": CONVERSATION,
    "WebhookPostData.id": POST,
    "WebhookCommentData.id": COMMENT,
    "WebhookNotificationData.id": NOTIFICATION,
    "by": ANN,
    "user_id": ANN,
    "sender_id": ANN,
    "owner_id": ANN,
    "author_id": ANN,
    "reporter_id": ANN,
    "user_ids": BINH,
    "post_ids": POST,
    "participant_ids": BINH,
    "reactions": BINH,
    "Post.reactions": 3,
    "Comment.reactions": 3,
    "attachments": ATTACHMENT,
    "Attachment.id": ATTACHMENT,
    "Attachment.name": "photo.jpg",
    "Attachment.description": "Two people at a table by the river",
    "AttachmentChange.description": "Two people at a table by the river",
    "content_type": "image/jpeg",
    "size": 182311,
    "width": 1600,
    "height": 1200,
    "Attachment.url": f"/api/v1/attachments/{ATTACHMENT}?expires=1779634800&signature=x",
    "thumbnail_url": f"/api/v1/attachments/{ATTACHMENT}/thumbnail?expires=1779634800&signature=x",
    "conversation_id": CONVERSATION,
    "connection_id": "7cB0pVqv2xQ",
    "post_id": POST,
    "comment_id": COMMENT,
    "notification_id": NOTIFICATION,
    "parent_id": None,
    "reply_to": None,
    # People and sessions.
    "username": "ann",
    "display_name": "Ann Lê",
    "Sender.display_name": "Bình Trần",
    "avatar": "https://images.example.com/ann.jpg",
    "password": "a long passphrase",
    "current_password": "a long passphrase",
    "new_password": "another long passphrase",
    "external_id": "4711",
    "show_presence": True,
    "blocked": True,
    "mentions": BINH,
    "mention_count": 1,
    "muted_until": None,
    "archived": False,
    "at": CREATED,
    "until": "2026-05-31T14:03:11.482Z",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "access_token": TOKEN,
    "refresh_token": TOKEN,
    "token": TOKEN,
    "public_key": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "NewInvitation.token": "q3Xn8mZ0b1tV5yR2kL7wGA",
    "ticket": "lWCGsdomVHjv80F2KUIwHtBdRP_7GR9OoosOKgSInoU",
    "expires_in": 900,
    "Ticket.expires_in": 30,
    "TypingState.expires_in": 5,
    # Conversations and messages.
    "kind": "group",
    "title": "Book club",
    "role": "admin",
    "content": "See you at eight?",
    "nonce": "5b1f0c9e",
    "WebhookMessageData.kind": "text",
    "seq": 42,
    "rev": 57,
    "last_seq": 42,
    "last_rev": 57,
    "last_read_seq": 40,
    "read_marks": 41,
    "conversations": 57,
    "unread_count": 2,
    "participant_count": 3,
    "complete": True,
    "active": True,
    "online": True,
    "last_seen": None,
    # Posts and notifications.
    "comment_count": 3,
    "muted": False,
    "my_reactions": "👍",
    "emoji": "👍",
    "preview": "Nice picture! Where did you take it?",
    "up_to_seq": 42,
    "Notification.type": "NEW_COMMENT",
    "NotificationGroup.type": "NEW_COMMENT",
    "key": f"NEW_COMMENT:{POST}:31",
    "count": 13,
    "sender_count": 12,
    "in_app": True,
    "push": True,
    "WebhookNotificationData.type": "NEW_COMMENT",
    "subject": "message",
    "subject_id": MESSAGE,
    "url": "/orders/4711",
    "group_key": "order-4711",
    "extra": {"order": 4711},
    # The servers of a site beside name people by their ids there.
    "to": "4711",
    "sender": "4712",
    "participants": "4711",
    "add": "4713",
    "remove": "4712",
    "unknown": "4714",
    "accepted": 1,
    # Times.
    "timestamp": CREATED,
    "created_at": CREATED,
    "edited_at": None,
    "joined_at": CREATED,
    "last_activity_at": CREATED,
    "last_used_at": CREATED,
    "server_time": CREATED,
    "expires_at": "2026-05-31T14:03:11.482Z",
    "token_expires_at": LATER,
    # Pages.
    "next": None,
    # Sockets and streams.
    "ref": "7",
    "reason": "bus_interrupted",
    "heartbeat_interval": 25,
    "NotificationHello.heartbeat_interval": 20,
    "max_message_bytes": 65536,
    "reconnect_after_ms": 1840,
    "message": "Maintenance at 22:00 UTC, for five minutes.",
    # Errors and health.
    "FieldProblem": {"field": "content", "message": "String should have at least 1 character"},
    "FieldProblem.field": "content",
    "FieldProblem.message": "String should have at least 1 character",
    "Problem.title": "Unprocessable Entity",
    "Problem.status": 422,
    "code": "validation_failed",
    "detail": "Validation failed.",
    "retry_after": None,
    "Health.status": "ok",
}
KEYS: Mapping[str, str] = {
    "reactions": "👍",
    "reaction_counts": "👍",
    "read_marks": BINH,
    "conversations": CONVERSATION,
    "kinds": "NEW_COMMENT",
    "PresenceStates": BINH,
}
"""The key of an object that maps any key to a value, by the name of the field or model."""

TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "object": (dict,)}
UNKNOWN = "…"
"""Stands for a string of which there is no example. A test fails if a document has it."""


def example(schema: Schema, definitions: Mapping[str, Schema]) -> Any:
    """Return a value that is valid under a JSON Schema as pydantic generates it. `definitions`: what it refers to."""
    return _Composer(definitions).value(schema, _Place(schema.get("title", "")))


class _Place(NamedTuple):
    """What a schema describes: a field of a model. `above`: the references that lead to it."""

    model: str
    field: str = ""
    above: frozenset[str] = frozenset()


class _Composer:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def value(self, schema: Schema, place: _Place) -> Any:
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            return self.value(self._definitions[name], _Place(name, above=place.above | {reference}))
        if examples := schema.get("examples"):
            return examples[0]
        named = EXAMPLES.get(f"{place.model}.{place.field}", EXAMPLES.get(place.field, UNKNOWN))
        choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("$ref") not in place.above]
        if named != UNKNOWN and any(_fits(named, choice) for choice in choices):
            return named
        chosen = next((choice for choice in choices if choice.get("type") != "null"), choices[0])
        return self._composed(schema, place) if chosen is schema else self.value(chosen, place)

    def _composed(self, schema: Schema, place: _Place) -> Any:
        """The example of a schema for which EXAMPLES has none."""
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        if "properties" in schema:
            fields = schema["properties"].items()
            model = schema.get("title", place.model)
            return {name: self.value(each, place._replace(model=model, field=name)) for name, each in fields}
        for values in schema.get("patternProperties", {"": schema.get("additionalProperties")}).values():
            if isinstance(values, dict):
                return {KEYS.get(place.field) or KEYS.get(place.model, UNKNOWN): self.value(values, place)}
        if schema.get("type") == "array":
            items = schema["items"]
            return [] if items.get("$ref") in place.above else [self.value(items, place)]
        if schema.get("type") in ("integer", "number"):
            return max(1, schema.get("minimum", 1))
        return {"object": {}, "boolean": False, "null": None}.get(schema.get("type", ""), UNKNOWN)


def _fits(value: Any, schema: Schema) -> bool:
    """Return whether `value` has the type that the schema asks for."""
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kind = schema.get("type", "")
    if kind == "null" or isinstance(value, bool):
        return value is None if kind == "null" else kind == "boolean"
    return "properties" not in schema and isinstance(value, TYPES.get(kind, ()))
