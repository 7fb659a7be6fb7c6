"""The events of the chat, as PROTOCOL.md names them."""

from typing import Any

from service.realtime.event import Event, Policy

CHANNEL = "chat"
TOPIC = "c:"
"""The order of a conversation's messages is that of their revs: the topic is this and its id."""


def message(type: str, message: dict[str, Any]) -> Event:
    """`new_message` or `message_updated`."""
    conversation_id = message["conversation_id"]
    body = {"conversation_id": conversation_id, "data": message}
    return Event(type, body, channel=CHANNEL, topic=TOPIC + conversation_id, sequence=message["rev"])


def read(conversation_id: str, user_id: str, seq: int) -> Event:
    body = {"conversation_id": conversation_id, "data": {"user_id": user_id, "seq": seq}}
    key = f"read:{conversation_id}:{user_id}"
    return Event(
        "read", body, channel=CHANNEL, policy=Policy.LATEST, topic=TOPIC + conversation_id, key=key, version=seq
    )


def typing(conversation_id: str, user_id: str, expires_in: int) -> Event:
    body = {"conversation_id": conversation_id, "data": {"user_id": user_id, "expires_in": expires_in}}
    key = f"typing:{conversation_id}:{user_id}"
    return Event("typing", body, channel=CHANNEL, policy=Policy.LATEST, topic=TOPIC + conversation_id, key=key)


def presence(user_id: str, state: dict[str, Any]) -> Event:
    body = {"data": {"user_id": user_id, **state}}
    return Event("presence", body, channel=CHANNEL, policy=Policy.LATEST, key=f"presence:{user_id}")


def conversation_updated(conversation: dict[str, Any], version: int) -> Event:
    """`version`: the conversation's, which is not for clients but goes along; see membership_filter.py."""
    body = {"conversation_id": conversation["id"], "data": conversation}
    return Event("conversation_updated", body, channel=CHANNEL, topic=TOPIC + conversation["id"], version=version)


def conversation_removed(conversation_id: str, version: int) -> Event:
    """`version`: the first in which the recipient is not."""
    body = {"conversation_id": conversation_id}
    return Event("conversation_removed", body, channel=CHANNEL, topic=TOPIC + conversation_id, version=version)


def sync(conversation_id: str, missed: dict[str, Any]) -> Event:
    """An answer, but of its conversation all the same: it is not for who has been taken out since it was read."""
    return Event(
        "sync", {"conversation_id": conversation_id, "data": missed}, channel=CHANNEL, topic=TOPIC + conversation_id
    )


def version_of(event: Event) -> int | None:
    """Of which version of a conversation `event` tells; None where it tells of something else."""
    if event.topic and event.type in ("conversation_updated", "conversation_removed"):
        return event.version
    return None


def announcement(text: str) -> Event:
    return Event("announcement", {"data": {"message": text}}, channel=CHANNEL)
