"""Sending one webhook: one signed POST, as Standard Webhooks 1.0 specifies it."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from standardwebhooks.webhooks import Webhook

from service.common.public_address import PrivateAddress
from service.common.public_post import ConnectionFailed, PublicPost

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
    """Posts to one URL."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        allow_private: bool,
        connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`secrets`: each signs, so that receivers can change theirs one after the other. For the others see
        PublicPost."""
        self._url = url
        self._signers = [Webhook(secret) for secret in secrets]
        self._post = PublicPost(allow_private=allow_private, connections=connections, tls=tls)

    async def send(self, webhook_id: str, body: str) -> Outcome:
        """Make one attempt."""
        moment = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signer.sign(webhook_id, moment, body) for signer in self._signers),
        }
        try:
            return _outcome((await self._post.send(self._url, headers, body.encode(), ANSWER_TIMEOUT)).status)
        except TimeoutError:
            return Outcome.TIMEOUT
        except PrivateAddress:
            return Outcome.PRIVATE_ADDRESS
        except ConnectionFailed:
            return Outcome.CONNECTION

    async def close(self) -> None:
        await self._post.close()


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if status == 410:
        return Outcome.GONE
    if status < 400:
        return Outcome.REDIRECT
    return Outcome.CLIENT_ERROR if status < 500 else Outcome.SERVER_ERROR
