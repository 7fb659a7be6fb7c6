"""The connections of the HTTP client: to addresses that have been checked, however the DNS changes meanwhile."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError

from service.common.public_address import is_public_address

MAX_ADDRESSES = 4
"""Addresses of one name that are tried, one after the other."""


class PrivateAddress(Exception):
    """The host has no address on the public internet."""


class PublicNetwork(AsyncNetworkBackend):
    """Resolves a name once, checks the addresses, and connects to one of those: never to the name.

    A name that resolves to another address when it is resolved again, between check and use, changes nothing. TLS
    verifies the certificate for the name, not for the address.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._backend = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first address of `host` that answers. Raises PrivateAddress, ConnectError."""
        addresses = await self._addresses(host, port)
        failure: Exception | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except ConnectError as error:
                failure = error
        raise failure or PrivateAddress

    async def _addresses(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, UnicodeError) as error:  # the latter: a label of more than 63 characters
            raise ConnectError("the name cannot be resolved") from error
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        return [each for each in addresses if self._allow_private or is_public_address(each)]
