"""`X-Forwarded-…` headers, as far as trusted proxies wrote them.

Each proxy appends to `X-Forwarded-For` the address that it was asked from. Of n trusted proxies the outermost therefore
wrote the n-th entry from the end; the client itself may have written everything before. Other headers to which a proxy
appends are read in the same way; most proxies overwrite them, which leaves one entry.
"""

import ipaddress
import re

from sanic import Request
from sanic.compat import Header
from sanic.headers import Options

from service.http.request_head import HOST

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
WITH_PORT = re.compile(r"\[([0-9a-f:.]+)\](?::\d+)?|([0-9.]+):\d+")
"""Some proxies add the port of the client (RFC 7239, 6)."""
MAX_ADDRESS = 64


class ProxiedRequest(Request):
    """Sanic's request, whose `forwarded`, and with it `remote_addr`, `host` and `scheme`, follow this module.

    Sanic's own reads only the first line of `X-Forwarded-Proto` and `-Host`, which a client may have sent.
    """

    @property
    def forwarded(self) -> Options:
        if self.parsed_forwarded is None:
            self.parsed_forwarded = parse_forwarded(self.headers, self.app.config.PROXIES_COUNT or 0)
        return self.parsed_forwarded


def parse_forwarded(headers: Header, proxies: int) -> Options:
    """Return what the outermost of `proxies` trusted proxies was asked: `for` (an address), `proto`, `host`, `port`.

    Empty without proxies, or if `X-Forwarded-For` has fewer than `proxies` entries: the request then bypassed a proxy.
    """
    addresses = _entries(headers, "x-forwarded-for")
    if not proxies or len(addresses) < proxies:
        return {}
    forwarded: Options = {"for": _address(addresses[-proxies])}
    scheme = SCHEMES.get(_entry(headers, "x-forwarded-proto", proxies))
    host = _entry(headers, "x-forwarded-host", proxies)
    port = _entry(headers, "x-forwarded-port", proxies)
    if scheme:
        forwarded["proto"] = scheme
    if host and HOST.fullmatch(host.encode("utf-8", "replace")):
        forwarded["host"] = host
    if port.isascii() and port.isdigit() and 0 < int(port) < 65536:
        forwarded["port"] = int(port)
    return forwarded


def _entries(headers: Header, name: str) -> list[str]:
    lines = headers.getall(name, [])
    return [entry.strip().lower() for line in lines for entry in line.split(",") if entry.strip()]


def _entry(headers: Header, name: str, proxies: int) -> str:
    entries = _entries(headers, name)
    return entries[-min(proxies, len(entries))] if entries else ""


def _address(entry: str) -> str:
    """Without the port; IPv6 in brackets, as Sanic has it."""
    if matched := WITH_PORT.fullmatch(entry):
        entry = matched[1] or matched[2]
    try:
        address = ipaddress.ip_address(entry)
    except ValueError:
        return entry[:MAX_ADDRESS]
    return f"[{address}]" if address.version == 6 else str(address)
