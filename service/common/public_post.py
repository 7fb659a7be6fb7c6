"""Posting to servers of others: TLS that is verified, and no more of a response than is needed."""

import asyncio
import ssl
from contextlib import suppress

import certifi
import httpcore

BODY_TIMEOUT = 1.0
MAX_BODY_BYTES = 16_384
"""Of a response's body, which means nothing to Loa, this much is read so that the connection can be used again."""
IDLE_TIMEOUT = 30.0
"""Seconds for which an idle connection is kept; the next one resolves the name again."""

CONNECTION_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)
"""No connection, no TLS, or no HTTP in response."""


def verifying_tls() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and Mozilla's: small images have none of their own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


async def skip_body(response: httpcore.Response) -> None:
    """Read the beginning of a response's body."""
    size = 0
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    return
