"""What every socket and stream carries, for the AsyncAPI document."""

from collections.abc import Sequence

from service.chat.channel import channel as chat_channel
from service.http.asyncapi import Channel
from service.notifications.channel import socket_channel, stream_channel


def channels() -> Sequence[Channel]:
    return [chat_channel(), stream_channel(), socket_channel()]
