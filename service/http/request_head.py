"""The head of an HTTP/1.1 request, checked before Sanic parses it.

Sanic's parser splits lines at CRLF and fields at the first colon and accepts everything else. A proxy in front may read
the same bytes differently, and then the two disagree about where a request ends.
"""

import re
from typing import NamedTuple

from httptools import parse_url
from httptools.parser.errors import HttpParserInvalidURLError

METHOD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""A token (RFC 9110, 5.6.2)."""
REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/(1\.[01])" % METHOD)
FIELD = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*" % METHOD)
"""No space before the colon, no control character in the value, no folded line (RFC 9112, 5)."""
HOST_PATTERN = rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?"
"""RFC 3986, 3.2.2 and 3.2.3, without a user."""
HOST = re.compile(HOST_PATTERN)
TARGET = re.compile(rb"/[^#]*|\*|https?://%b(?:[/?][^#]*)?" % HOST_PATTERN, re.IGNORECASE)
"""Origin form, asterisk form, absolute form (RFC 9112, 3.2). The authority form is only for CONNECT."""
LENGTH = re.compile(rb"[0-9]{1,19}")


class BadHead(Exception):
    """The head breaks a rule. `status` is 400 (RFC 9112) or 501, for a method or transfer coding that Loa does not know
    (RFC 9110, 15.6.2)."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


class Head(NamedTuple):
    """What the framing of the body needs."""

    version: bytes
    chunked: bool


def check_head(head: bytes) -> Head:
    """Check `head`: the request line and the field lines, without the empty line that ends them. Raises BadHead."""
    request_line, *lines = head.split(b"\r\n")
    matched = REQUEST_LINE.fullmatch(request_line)
    if not matched:
        raise BadHead
    method, target, version = matched.groups()
    if method == b"CONNECT":
        raise BadHead(501)
    _check_target(target, method)
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for line in lines:
        field = FIELD.fullmatch(line)
        if not field:
            raise BadHead
        name = field[1].lower()
        if name == b"host":
            hosts.append(field[2])
        elif name == b"content-length":
            lengths.append(field[2])
        elif name == b"transfer-encoding":
            codings.append(field[2].lower())
    _check_host(hosts, version)
    return Head(version, _check_framing(lengths, codings, version))


def _check_target(target: bytes, method: bytes) -> None:
    if not TARGET.fullmatch(target) or (target == b"*" and method != b"OPTIONS"):
        raise BadHead
    if target[:1] not in b"/*":
        try:
            # Sanic closes the connection without an answer if this fails, as for an absolute form without a host, which
            # is invalid (RFC 9110, 4.2.1).
            parse_url(target)
        except HttpParserInvalidURLError:
            raise BadHead from None


def _check_host(hosts: list[bytes], version: bytes) -> None:
    """Exactly one in HTTP/1.1, and a valid one (RFC 9112, 3.2)."""
    if len(hosts) > 1 or (not hosts and version == b"1.1"):
        raise BadHead
    if hosts and not HOST.fullmatch(hosts[0]):
        raise BadHead


def _check_framing(lengths: list[bytes], codings: list[bytes], version: bytes) -> bool:
    """Whether the body is chunked. One way to tell its end, and only one (RFC 9112, 6.1 and 6.3)."""
    if len(lengths) + len(codings) > 1:
        raise BadHead
    if lengths and not LENGTH.fullmatch(lengths[0]):
        raise BadHead
    if not codings:
        return False
    if version == b"1.0":
        raise BadHead
    if codings[0] != b"chunked":
        raise BadHead(501)
    return True
