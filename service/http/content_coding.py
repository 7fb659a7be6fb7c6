"""Content codings (RFC 9110, 8.4) that clients accept."""

from functools import lru_cache

GZIP = "gzip"
BROTLI = "br"


@lru_cache(256)
def accepted(header: str) -> frozenset[str]:
    """Return which of the codings in use the Accept-Encoding `header` accepts (RFC 9110, 12.5.3)."""
    weights: dict[str, bool] = {}
    for element in header.lower().split(","):
        coding, _, parameter = element.partition(";")
        name, _, weight = parameter.partition("=")
        weights[coding.strip()] = name.strip() != "q" or _is_positive(weight)
    return frozenset(coding for coding in (GZIP, BROTLI) if weights.get(coding, weights.get("*", False)))


def _is_positive(weight: str) -> bool:
    try:
        return float(weight) > 0
    except ValueError:
        return False
