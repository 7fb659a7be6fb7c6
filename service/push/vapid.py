"""VAPID (RFC 8292): the key with which Loa identifies itself to push services, and the tokens that it signs."""

import time
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from service.common import base64url

TOKEN_LIFETIME = 12 * 3600
"""Seconds. RFC 8292, 2: at most 24 hours, and the clocks may differ."""
REUSE_TIME = 3600
"""Seconds for which a token is used again: push services cache the verification of a token."""
MAX_TOKENS = 1000
"""Tokens kept: one for each push service and contact."""


class VapidKey:
    """A private key on P-256. `public_key`: what browsers subscribe with, the uncompressed point in Base64url."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = base64url.encode(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}

    @classmethod
    def generate(cls) -> "VapidKey":
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: str) -> "VapidKey":
        """Raises ValueError if it is not a private key on P-256."""
        key = load_pem_private_key(pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("not a private key on P-256")
        return cls(key)

    def to_pem(self) -> str:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def authorization(self, endpoint: str, contact: str) -> str:
        """Return the `Authorization` of a push to `endpoint` (RFC 8292, 3). `contact`: a mailto: or https: URL."""
        parts = urlsplit(endpoint)
        audience, moment = f"{parts.scheme}://{parts.netloc}", time.time()
        token, signed_at = self._tokens.get((audience, contact), ("", 0.0))
        if not signed_at <= moment < signed_at + REUSE_TIME:
            claims = {"aud": audience, "exp": int(moment) + TOKEN_LIFETIME, "sub": contact}
            token = jwt.encode(claims, self._key, "ES256")
            if len(self._tokens) >= MAX_TOKENS:
                self._tokens.clear()
            self._tokens[audience, contact] = token, moment
        return f"vapid t={token}, k={self.public_key}"
