"""The events of the chat, one function for each type."""

from collections.abc import Collection
from typing import Any

from service.common.blocks import Block
from service.common.profiles import Profile
from service.realtime.event import Event, Policy

CHANNEL = "chat"
TOPIC = "c:"
"""Prefix of the topic of a conversation, followed by its id. The sequence within a topic is the rev of the messages."""


def message(type: str, message: dict[str, Any], hidden_from: Collection[str] = ()) -> Event:
    """Return a `new_message` or `message_updated` event; `message` is its JSON form.

    The participants in `hidden_from`, who do not see the message, get `rev_skipped` instead of the event, so that their
    clients do not ask for the rev that they have not got.
    """
    conversation_id, rev = message["conversation_id"], message["rev"]
    topic = TOPIC + conversation_id
    substitute = None
    if hidden_from:
        skipped = {"conversation_id": conversation_id, "data": {"rev": rev}}
        substitute = hidden_from, Event("rev_skipped", skipped, channel=CHANNEL, topic=topic, sequence=rev)
    body = {"conversation_id": conversation_id, "data": message}
    return Event(type, body, channel=CHANNEL, topic=topic, sequence=rev, substitute=substitute)


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
    """`version` is the conversation's; it is not sent to clients, MembershipFilter uses it."""
    body = {"conversation_id": conversation["id"], "data": conversation}
    return Event("conversation_updated", body, channel=CHANNEL, topic=TOPIC + conversation["id"], version=version)


def conversation_removed(conversation_id: str, version: int) -> Event:
    """`version` is the first one without the recipient."""
    body = {"conversation_id": conversation_id}
    return Event("conversation_removed", body, channel=CHANNEL, topic=TOPIC + conversation_id, version=version)


def history_cleared(conversation_id: str, user_id: str, seq: int) -> Event:
    """To the user's own connections: they do not see the messages up to `seq` any more."""
    body = {"conversation_id": conversation_id, "data": {"seq": seq}}
    key = f"cleared:{conversation_id}:{user_id}"
    return Event("history_cleared", body, channel=CHANNEL, policy=Policy.LATEST, key=key, version=seq)


def profile_updated(profile: Profile, version: int) -> Event:
    """To the user's own connections: the profile was changed in one of their tabs."""
    body = {"data": profile.model_dump()}
    key = f"profile:{profile.id}"
    return Event("profile_updated", body, channel=CHANNEL, policy=Policy.LATEST, key=key, version=version)


def block_updated(block: Block, exists: bool) -> Event:
    """To the connections of the user who blocks, or does not any more."""
    body = {"data": {"user_id": block.blocked_id, "blocked": exists}}
    return Event("block_updated", body, channel=CHANNEL, policy=Policy.LATEST, key=f"block:{block.blocked_id}")


def post_mute_updated(post_id: str, muted: bool) -> Event:
    """To the connections of the user who mutes the post, or does not any more."""
    body = {"data": {"post_id": post_id, "muted": muted}}
    return Event("post_mute_updated", body, channel=CHANNEL, policy=Policy.LATEST, key=f"post_mute:{post_id}")


def sync(conversation_id: str, catch_up: dict[str, Any], version: int) -> Event:
    """The answer to a `sync` frame. `version` is one in which the user was a participant: the answer is dropped if they
    were removed in that version or a later one."""
    body = {"conversation_id": conversation_id, "data": catch_up}
    return Event("sync", body, channel=CHANNEL, topic=TOPIC + conversation_id, version=version)


def version_of(event: Event) -> int | None:
    """Return the version of the conversation that `event` shows, or None for other types of events."""
    if event.topic and event.type in ("conversation_updated", "conversation_removed", "sync"):
        return event.version
    return None


def announcement(text: str) -> Event:
    return Event("announcement", {"data": {"message": text}}, channel=CHANNEL)
