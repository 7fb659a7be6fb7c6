"""The channels of the AsyncAPI document: every socket and stream, and the webhooks."""

from collections.abc import Sequence

from service.chat.asyncapi import channel as chat_channel
from service.http.asyncapi import Channel
from service.notifications.asyncapi import socket_channel, stream_channel
from service.posts.asyncapi import events as post_events
from service.webhooks.asyncapi import channel as webhook_channel


def channels() -> Sequence[Channel]:
    return [chat_channel(post_events()), stream_channel(), socket_channel(), webhook_channel()]
