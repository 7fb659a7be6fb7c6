"""The push services that Loa posts to: those of the browsers' vendors, or those that the operator names."""

import re
from collections.abc import Iterable

ENDPOINT = re.compile(r"https://([A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?(?:/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?")
"""An https URL without credentials and fragment. Stricter than RFC 3986: what different parsers understand differently
does not match."""
HTTPS_PORT = "443"
MAX_LABEL = 63
"""RFC 1035, 2.3.4: characters of a part of a host name."""


class PushHosts:
    """`hosts`: each is `host`, `*.host` for all names below it, or either with `:port`."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._names: set[tuple[str, str]] = set()
        self._parents: set[tuple[str, str]] = set()
        for each in hosts:
            host, _, port = each.partition(":")
            (self._parents if host.startswith("*.") else self._names).add((host.removeprefix("*."), port or HTTPS_PORT))

    def allow(self, endpoint: str) -> bool:
        """Return whether `endpoint` is an https URL on one of the hosts."""
        match = ENDPOINT.fullmatch(endpoint)
        if not match:
            return False
        host, port = match[1].lower(), match[2] or HTTPS_PORT
        labels = host.split(".")
        parents = {(".".join(labels[first:]), port) for first in range(1, len(labels))}
        return all(0 < len(label) <= MAX_LABEL for label in labels) and (
            (host, port) in self._names or not parents.isdisjoint(self._parents)
        )
