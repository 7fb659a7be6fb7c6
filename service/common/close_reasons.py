"""Why the server ends a connection: the WebSocket close code (RFC 6455, 7.4), the reason, and what the client may do.

`service/http/errors.py` says the same for domain errors. A close code alone is not enough to decide whether to
reconnect: 1008 stands for an expired token (reconnect with a fresh one) and for a revoked one (sign in again).
"""

from enum import StrEnum
from typing import NamedTuple


class Reconnect(StrEnum):
    """What a client should do after its connection has been closed."""

    BACK_OFF = "back_off"
    """Temporary: reconnect with exponential back-off, then fetch what was missed."""
    REFRESH = "refresh"
    """Reconnect once, with a fresh access token."""
    SIGN_IN = "sign_in"
    """Terminal until the user has signed in again."""
    NEVER = "never"
    """Terminal: the client broke the protocol, and the same bytes would end the next connection, too."""


class CloseReason(NamedTuple):
    """The two parts of a close frame; `connection.close(*SLOW_CONSUMER)`."""

    code: int
    reason: str


PROTOCOL_ERROR = CloseReason(1002, "protocol_error")
TEXT_ONLY = CloseReason(1003, "text_only")
NOT_UTF8 = CloseReason(1007, "not_utf8")
TOKEN_EXPIRED = CloseReason(1008, "token_expired")
TOKEN_REVOKED = CloseReason(1008, "token_revoked")
TOO_LARGE = CloseReason(1009, "too_large")
INTERNAL_ERROR = CloseReason(1011, "internal_error")
RESTART = CloseReason(1012, "restart")
SLOW_CONSUMER = CloseReason(1013, "slow_consumer")
OVERLOADED = CloseReason(1013, "overloaded")
# 1006 is never sent (RFC 6455, 7.4.1): there is no peer left to send it to. The reason is for the metrics.
GONE = CloseReason(1006, "gone")
SILENT = CloseReason(1006, "silent")

CLOSED_BY_PEER = "closed"
"""The reason in the metrics if the peer closed the connection, with whatever code it chose."""

CLOSE_REASONS: dict[CloseReason, Reconnect] = {
    PROTOCOL_ERROR: Reconnect.NEVER,
    TEXT_ONLY: Reconnect.NEVER,
    NOT_UTF8: Reconnect.NEVER,
    TOKEN_EXPIRED: Reconnect.REFRESH,
    TOKEN_REVOKED: Reconnect.SIGN_IN,
    TOO_LARGE: Reconnect.NEVER,
    INTERNAL_ERROR: Reconnect.BACK_OFF,
    RESTART: Reconnect.BACK_OFF,
    SLOW_CONSUMER: Reconnect.BACK_OFF,
    OVERLOADED: Reconnect.BACK_OFF,
    GONE: Reconnect.BACK_OFF,
    SILENT: Reconnect.BACK_OFF,
}
"""All reasons for which the server closes a connection without a domain error."""
