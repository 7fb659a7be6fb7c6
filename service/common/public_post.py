"""Posting to servers of others: to public addresses, with TLS that is verified, reading no more than is needed."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from service.common.public_address import PrivateAddress

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

BODY_TIMEOUT = 1.0
MAX_BODY_BYTES = 16_384
"""Of a response's body, which means nothing to Loa, this much is read so that the connection can be used again."""


class ConnectionFailed(Exception):
    """No connection, no TLS, or no HTTP in response."""


class Answer(NamedTuple):
    """The status of a response, and its `Retry-After`, empty if it has none."""

    status: int
    retry_after: str


class PublicPost:
    """Posts over a pool of connections. It follows no redirect, uses no proxy, and keeps no cookie."""

    def __init__(self, *, allow_private: bool, connections: int, tls: ssl.SSLContext | None = None) -> None:
        """See `connector`."""
        self._allow_private = allow_private
        self._connections = connections
        self._tls = tls
        self._session: ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
        """Post once. `timeout`: seconds until the end of the response's headers.

        Raises TimeoutError, PrivateAddress, ConnectionFailed.
        """
        if not self._session:
            # Only now, and in a thread: it takes 80 ms, a tenth of a worker's start, and few workers post.
            await asyncio.to_thread(import_module, "service.common.public_network")
        from aiohttp import ClientConnectorError, ClientError
        from yarl import URL

        session = self._session = self._session or self._new_session()
        try:
            async with asyncio.timeout(timeout) as deadline:
                # The URL as it is: a receiver may distinguish what the client takes for equal.
                request = session.post(URL(url, encoded=True), headers=headers, data=body, allow_redirects=False)
                async with request as response:
                    deadline.reschedule(None)  # answered: what follows has a limit of its own
                    await _skip_body(response)
                    return Answer(response.status, response.headers.get("Retry-After", ""))
        except ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddress):
                raise PrivateAddress from error
            raise ConnectionFailed from error
        # UnicodeError: a part of the name has more than 63 characters.
        except (ClientError, OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ConnectionFailed from error

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def _new_session(self) -> "ClientSession":
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

        from service.common.public_network import connector

        return ClientSession(
            connector=connector(allow_private=self._allow_private, connections=self._connections, tls=self._tls),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": "Loa"},
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
        )


async def _skip_body(response: "ClientResponse") -> None:
    """Read the beginning of a response's body."""
    from aiohttp import ClientError

    size = 0
    with suppress(TimeoutError, ClientError):
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    return
