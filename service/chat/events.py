"""The events of the chat, as PROTOCOL.md names them."""

from typing import Any

from service.realtime.event import Event, Policy

FEED = "chat"
TOPIC = "c:"
"""The order of a conversation's events is that of its revs: the topic is this and its id."""


def message(type: str, message: dict[str, Any]) -> Event:
    """`new_message` or `message_updated`."""
    conversation_id = message["conversation_id"]
    body = {"conversation_id": conversation_id, "data": message}
    return Event(type, body, feed=FEED, topic=TOPIC + conversation_id, number=message["rev"])


def read(conversation_id: str, user_id: str, seq: int) -> Event:
    body = {"conversation_id": conversation_id, "data": {"user_id": user_id, "seq": seq}}
    return Event("read", body, feed=FEED, policy=Policy.LATEST, key=f"read:{conversation_id}:{user_id}")


def typing(conversation_id: str, user_id: str, expires_in: int) -> Event:
    body = {"conversation_id": conversation_id, "data": {"user_id": user_id, "expires_in": expires_in}}
    return Event("typing", body, feed=FEED, policy=Policy.LATEST, key=f"typing:{conversation_id}:{user_id}")


def presence(user_id: str, state: dict[str, Any]) -> Event:
    body = {"data": {"user_id": user_id, **state}}
    return Event("presence", body, feed=FEED, policy=Policy.LATEST, key=f"presence:{user_id}")


def conversation_updated(conversation: dict[str, Any]) -> Event:
    return Event("conversation_updated", {"conversation_id": conversation["id"], "data": conversation}, feed=FEED)


def conversation_removed(conversation_id: str) -> Event:
    return Event("conversation_removed", {"conversation_id": conversation_id}, feed=FEED)


def announcement(text: str) -> Event:
    return Event("announcement", {"data": {"message": text}}, feed=FEED)
