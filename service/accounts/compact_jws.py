"""The compact serialisation of a signed token."""

import base64


def is_compact(token: str) -> bool:
    """Return whether `token` is a JWS in compact serialisation, whose three parts are base64url without padding (RFC
    7515, 3.1 and section 2).

    PyJWT also accepts padding, and any value of the bits beyond the last byte: a token would have several spellings.
    """
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        return False
    try:
        return all(_is_base64url(part) for part in parts)
    except ValueError:
        # An impossible length.
        return False


def _is_base64url(text: str) -> bool:
    """Return whether `text` is exactly what base64url makes of some bytes. Raises ValueError."""
    padded = text + "=" * (-len(text) % 4)
    return "=" not in text and base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)) == padded.encode()
