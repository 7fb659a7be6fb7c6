"""One push: an encrypted message, posted to a push service (RFC 8030)."""

import asyncio
import ssl
from enum import StrEnum
from typing import NamedTuple

import httpcore

from service.common.public_network import PrivateAddress, PublicNetwork
from service.common.public_post import CONNECTION_ERRORS, IDLE_TIMEOUT, skip_body, verifying_tls
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
    """Posts to endpoints. It follows no redirect, uses no proxy, and reads only the beginning of a response."""

    def __init__(self, contact: str, *, allow_private: bool, tls: ssl.SSLContext | None = None) -> None:
        """`contact`: a mailto: or https: URL at which push services can reach the operator; empty: the origin of the
        page that subscribed. `tls`: instead of verifying with the system's authorities and Mozilla's."""
        self._contact = contact
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or verifying_tls(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=IDLE_TIMEOUT,
            network_backend=PublicNetwork(allow_private=allow_private),
        )

    async def send(
        self, key: VapidKey, subscription: Subscription, payload: bytes, topic: str, urgency: str
    ) -> Attempt:
        """Make one attempt."""
        contact = self._contact or subscription.origin or DEFAULT_CONTACT
        headers: dict[bytes | str, bytes | str] = {
            "Authorization": key.authorization(subscription.endpoint, contact),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_SECONDS),
            "Topic": topic,
            "Urgency": urgency,
            "User-Agent": "Loa",
        }
        body = encrypt(payload, decode_base64url(subscription.p256dh), decode_base64url(subscription.auth))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as deadline:
                request = self._pool.stream("POST", subscription.endpoint, headers=headers, content=body)
                async with request as response:
                    deadline.reschedule(None)  # answered: what follows has a limit of its own
                    await skip_body(response)
                    return Attempt(_outcome(response.status), _retry_after(response))
        except TimeoutError:
            return Attempt(Outcome.TIMEOUT)
        except PrivateAddress:
            return Attempt(Outcome.PRIVATE_ADDRESS)
        except CONNECTION_ERRORS:
            return Attempt(Outcome.CONNECTION)

    async def close(self) -> None:
        await self._pool.aclose()


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


def _retry_after(response: httpcore.Response) -> float:
    """Return the seconds of a `Retry-After` (RFC 9110, 10.2.3); 0 for a date, which the backoff replaces."""
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 10:
            return float(value)
    return 0.0
