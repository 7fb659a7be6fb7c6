"""One push: an encrypted message, posted to a push service (RFC 8030)."""

import ssl
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

from service.common.public_address import PrivateAddress
from service.common.public_post import ConnectionFailed, PublicPost
from service.common.times import now
from service.push.encryption import encrypt
from service.push.models import decode_base64url
from service.push.subscription_store import Subscription
from service.push.vapid import VapidKey

ANSWER_TIMEOUT = 10.0
"""Seconds from connecting to the end of the response's headers."""
TTL_SECONDS = 24 * 3600
MAX_CONNECTIONS = 256


class Outcome(StrEnum):
    """What became of an attempt; the values are labels of a metric."""

    SENT = "sent"
    GONE = "gone"
    """404 or 410: the subscription has ended."""
    THROTTLED = "throttled"
    """429."""
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    REFUSED = "refused"
    """Another status: repeating it would change nothing."""
    PRIVATE_ADDRESS = "private_address"


AGAIN = frozenset({Outcome.THROTTLED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.CONNECTION})
"""After these the push is attempted again."""
SERVICE_FAILED = AGAIN - {Outcome.THROTTLED}
"""After these the next push to the same service is likely to fail, too."""


class Attempt(NamedTuple):
    """`retry_after`: seconds that the push service asks to wait, 0 if it does not."""

    outcome: Outcome
    retry_after: float = 0.0


class PushSender:
    """Posts to endpoints."""

    def __init__(self, contact: str, *, allow_private: bool, tls: ssl.SSLContext | None = None) -> None:
        """`contact`: a mailto: or https: URL at which push services can reach the operator; empty: the origin of the
        page that subscribed. For `allow_private` and `tls` see PublicPost."""
        self._contact = contact
        self._post = PublicPost(allow_private=allow_private, connections=MAX_CONNECTIONS, tls=tls)

    async def send(
        self, key: VapidKey, subscription: Subscription, payload: bytes, topic: str, urgency: str
    ) -> Attempt:
        """Make one attempt."""
        contact = self._contact or subscription.origin or DEFAULT_CONTACT
        headers = {
            "Authorization": key.authorization(subscription.endpoint, contact),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_SECONDS),
            "Topic": topic,
            "Urgency": urgency,
        }
        body = encrypt(payload, decode_base64url(subscription.p256dh), decode_base64url(subscription.auth))
        try:
            answer = await self._post.send(subscription.endpoint, headers, body, ANSWER_TIMEOUT)
            return Attempt(_outcome(answer.status), _retry_after(answer.retry_after))
        except TimeoutError:
            return Attempt(Outcome.TIMEOUT)
        except PrivateAddress:
            return Attempt(Outcome.PRIVATE_ADDRESS)
        except ConnectionFailed:
            return Attempt(Outcome.CONNECTION)

    async def close(self) -> None:
        await self._post.close()


DEFAULT_CONTACT = "mailto:webmaster@localhost"
"""RFC 8292, 2.1, asks for a contact, and some push services refuse pushes without one."""


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.SENT
    if status in (404, 410):
        return Outcome.GONE
    if status == 429:
        return Outcome.THROTTLED
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.REFUSED


def _retry_after(text: str) -> float:
    """Return the seconds of a `Retry-After`, which is a number of them or a date (RFC 9110, 10.2.3); 0 for anything
    else, and for a date that has passed."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    # OverflowError: a number in it is too large for a date.
    with suppress(ValueError, OverflowError):
        until = parsedate_to_datetime(text)
        # RFC 9110, 5.6.7: it is in GMT, also if it does not say so.
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - now()).total_seconds())
    return 0.0
