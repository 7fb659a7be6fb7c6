"""What is pushed: the JSON that the service worker gets, and how urgent it is."""

from typing import NamedTuple

from service.common.encoding import dumps
from service.common.text import cut
from service.push.encryption import MAX_PLAIN_BYTES
from service.push.news_store import Kind

TEXT_LENGTH = 140
"""Characters of a message that are shown at most."""
URGENCY = {Kind.MESSAGE: "high", Kind.NOTIFICATION: "normal", Kind.SUMMARY: "low"}
"""RFC 8030, 5.3: whether the device is to be woken for it. People wait for messages."""


class Payload(NamedTuple):
    """`type`: `message`, `summary`, or the type of a notification. `unread_count`: what is unread in the conversation,
    of the user's notifications, or of all that a summary is about."""

    type: str
    title: str
    body: str
    url: str
    tag: str
    unread_count: int

    def encode(self) -> bytes:
        """Return the JSON. If it does not fit into a push, the body is left out, and then the URL."""
        for payload in (self, self._replace(body=""), self._replace(body="", url="/")):
            encoded = dumps(payload._asdict()).encode()
            if len(encoded) <= MAX_PLAIN_BYTES:
                break
        return encoded


def shortened(text: str) -> str:
    return cut(text, TEXT_LENGTH)
