"""The webhooks in the AsyncAPI document, described by the sources of which they are made."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from service.http.asyncapi import Channel, Message
from service.webhooks.events import SOURCES, Source

MEANINGS = {
    "message.created": "A message was stored; one of the system has another `kind` than `text`.",
    "message.updated": "A message was edited, deleted or reacted to; each change has a `rev` of its own.",
    "conversation.created": "A conversation was created.",
    "conversation.updated": "Title, participants, roles or history of a group changed. Each change has a `version`.",
    "post.created": "A post was created.",
    "comment.created": "A comment, or a reply to one (`parent_id`), was created.",
    "notification.created": "A user has a new notification.",
    "user.created": "A user registered, or was created by a server or by the first token of the site.",
    "user.deleted": "The deletion of a user has begun. The `external_id` may belong to somebody new by now.",
    "report.created": "A user reported something.",
}


class WebhookHeaders(BaseModel):
    """Those of Standard Webhooks 1.0. `webhook-id` is the same in every attempt; `webhook-timestamp` is that of the
    attempt, in Unix seconds. `webhook-signature` has one signature for each secret, separated by spaces."""

    id: str = Field(alias="webhook-id", examples=["message_created_6650b0d7e8f90a1b2c3d4e20"])
    timestamp: str = Field(alias="webhook-timestamp", pattern=r"^\d+$", examples=["1779631391"])
    signature: str = Field(
        alias="webhook-signature",
        pattern=r"^v1,\S+( v1,\S+)*$",
        examples=["v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
    )


def channel() -> Channel:
    return Channel(
        "webhooks",
        None,
        "Requests to `WEBHOOK_URL`, signed with `WEBHOOK_SECRET` as Standard Webhooks 1.0 specifies. Each is sent at "
        "least once, until the receiver answers 2xx within 15 seconds; after 410, no more are sent.",
        "http",
        sent=[message for source in SOURCES.values() for message in _messages(source)],
    )


def _messages(source: Source) -> Iterator[Message]:
    noun = source.created.partition(".")[0].capitalize()
    data = _data(f"Webhook{noun}", source)
    for name in filter(None, (source.created, source.updated)):
        verb = name.partition(".")[2].capitalize()
        kind: Any = Literal[name]
        fields: dict[str, Any] = {"type": (kind, ...), "timestamp": (str, ...), "data": (data, ...)}
        model = create_model(f"Webhook{noun}{verb}", **fields)
        yield Message(name, model, MEANINGS[name], headers=WebhookHeaders)


def _data(name: str, source: Source) -> type[BaseModel]:
    """Return the model of what `EventBuilder` says about a document."""
    fields: dict[str, Any] = {"id": (str, ...)}
    for ref in source.refs:
        fields[ref] = (str | None, ...)
        fields[f"{ref.removesuffix('_id')}_external_id"] = (str | None, Field(examples=["4711"]))
    fields |= dict.fromkeys(source.ids, (str | None, ...))
    for value, default in source.values.items():
        fields[value] = (str | None if default is None else type(default), ...)
    return create_model(f"{name}Data", **fields)
