"""Compression of WebSocket messages (permessage-deflate, RFC 7692): how it is agreed on.

Neither side's messages refer to earlier ones. So an event is compressed once for all sockets that agreed, and an idle
socket keeps no window, which would be 32 KB for each direction.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

WINDOW_BITS = 15

_FACTORY = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


@lru_cache(64)
def negotiate(header: str) -> str | None:
    """Return what to answer to this Sec-WebSocket-Extensions `header`: the first offer that can be met, or None.

    An offer that limits the server's window cannot: the events are compressed already. Raises
    websockets.exceptions.InvalidHeader.
    """
    for name, parameters in parse_extension(header):
        if name == PerMessageDeflate.name:
            try:
                agreed, extension = _FACTORY.process_request_params(parameters, [])
            except NegotiationError:
                # RFC 7692, 7.1: an offer with a parameter that is unknown, repeated or invalid is declined.
                continue
            if extension.local_max_window_bits == WINDOW_BITS:
                return build_extension([(name, cast(Sequence[tuple[str, str | None]], agreed))])
    return None


def decompressor() -> PerMessageDeflate:
    """Return what decompresses the messages of one peer."""
    return PerMessageDeflate(True, True, WINDOW_BITS, WINDOW_BITS)
