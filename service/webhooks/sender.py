"""Sending one webhook: one signed POST, as Standard Webhooks 1.0 specifies it."""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

import httpcore
from standardwebhooks.webhooks import Webhook

from service.common.public_network import PrivateAddress, PublicNetwork
from service.common.public_post import CONNECTION_ERRORS, IDLE_TIMEOUT, skip_body, verifying_tls

ANSWER_TIMEOUT = 15.0
"""Seconds from connecting to the end of the response's headers."""


class Outcome(StrEnum):
    """What became of an attempt; the values are labels of a metric."""

    DELIVERED = "delivered"
    GONE = "gone"
    """410: the receiver wants no more webhooks."""
    REDIRECT = "redirect"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    PRIVATE_ADDRESS = "private_address"


class WebhookSender:
    """Posts to one URL. It follows no redirect, uses no proxy, and reads only the beginning of a response."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        allow_private: bool,
        connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`secrets`: each signs, so that receivers can change theirs one after the other. `tls`: instead of verifying
        with the system's authorities and Mozilla's."""
        self._url = url
        self._signers = [Webhook(secret) for secret in secrets]
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or verifying_tls(),
            max_connections=connections,
            keepalive_expiry=IDLE_TIMEOUT,
            network_backend=PublicNetwork(allow_private=allow_private),
        )

    async def send(self, webhook_id: str, body: str) -> Outcome:
        """Make one attempt."""
        moment = datetime.now(UTC)
        headers: dict[bytes | str, bytes | str] = {
            "Content-Type": "application/json",
            "User-Agent": "Loa",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signer.sign(webhook_id, moment, body) for signer in self._signers),
        }
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as deadline:
                request = self._pool.stream("POST", self._url, headers=headers, content=body.encode())
                async with request as response:
                    deadline.reschedule(None)  # answered: what follows has a limit of its own
                    await skip_body(response)
                    return _outcome(response.status)
        except TimeoutError:
            return Outcome.TIMEOUT
        except PrivateAddress:
            return Outcome.PRIVATE_ADDRESS
        except CONNECTION_ERRORS:
            return Outcome.CONNECTION

    async def close(self) -> None:
        await self._pool.aclose()


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if status == 410:
        return Outcome.GONE
    if status < 400:
        return Outcome.REDIRECT
    return Outcome.CLIENT_ERROR if status < 500 else Outcome.SERVER_ERROR
