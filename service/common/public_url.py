"""URLs that users enter and other users' browsers fetch."""

from urllib.parse import urlsplit

from pydantic import HttpUrl, TypeAdapter

LOCAL_DOMAINS = frozenset(
    # RFC 6761 and 8375, ICANN's reservation of .internal, and what RFC 6762, appendix G, found in local networks.
    (
        "localhost",
        "local",
        "internal",
        "home.arpa",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "localdomain",
        "invalid",
    )
)
"""Domains, with all names below them, that resolve in a local network or not at all."""

_URL = TypeAdapter(HttpUrl)


def check_public_url(value: str) -> str:
    """Return `value` unchanged if it is an https URL on a public host, and browsers see the same host in it.

    A viewer's browser would otherwise send requests into the viewer's own network, or reveal the page over http. Raises
    ValueError otherwise. A public name that resolves to a private address is not recognised: only the viewer's browser
    knows what it resolves to.
    """
    if any(character.isspace() or not character.isprintable() or character in '"<>\\^`{|}' for character in value):
        raise ValueError("Contains characters that are not allowed in a URL")
    try:
        parts = urlsplit(value)
        # The parser of browsers (WHATWG URL): it knows that 0x7f.1 is an address and ｌocalhost a name.
        host = _URL.validate_python(value).host
    except ValueError:
        raise ValueError("Not a URL") from None
    if parts.scheme != "https" or not parts.hostname or not host:
        raise ValueError("Not an https:// URL")
    if "@" in parts.netloc:
        raise ValueError("Contains credentials, which every viewer's browser would send")
    if not is_public_name(host):
        raise ValueError("Not on a public host: an address, or a name of a local network")
    return value


def is_public_name(host: str) -> bool:
    """Whether `host`, as a browser has normalised it, is a name of the public DNS. An IP address is not."""
    labels = host.lower().rstrip(".").split(".")
    if len(labels) < 2 or not all(labels) or ":" in host or labels[-1].isdigit():
        return False
    return not any(".".join(labels[start:]) in LOCAL_DOMAINS for start in range(len(labels)))
