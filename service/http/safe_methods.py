"""The HTTP methods that change nothing (RFC 9110, 9.2.1)."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
