"""The connections of the HTTP client: to addresses that have been checked, however the DNS changes meanwhile."""

import socket
import ssl

import certifi
from aiohttp import AddrInfoType, TCPConnector, ThreadedResolver

from service.common.public_address import PrivateAddress, is_public_address

IDLE_TIMEOUT = 30.0
"""Seconds for which an idle connection is kept; the next one resolves the name again."""


def connector(*, allow_private: bool, connections: int, tls: ssl.SSLContext | None) -> TCPConnector:
    """Return a connector with at most so many connections, to public addresses only unless `allow_private`.

    Each address is checked when a socket is made for it, which then connects to that address: a name that resolves to
    another one between check and use changes nothing. TLS verifies the certificate for the name, not for the address,
    with the authorities of `tls`, or the system's and Mozilla's. Call it in the event loop.
    """

    def checked(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address
        if not (allow_private or is_public_address(str(place[0]))):
            raise PrivateAddress
        return socket.socket(family, kind, protocol)

    return TCPConnector(
        ssl=tls or _verifying_tls(),
        limit=connections,
        keepalive_timeout=IDLE_TIMEOUT,
        use_dns_cache=False,
        resolver=ThreadedResolver(),
        socket_factory=checked,
    )


def _verifying_tls() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and Mozilla's: small images have none of their own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
