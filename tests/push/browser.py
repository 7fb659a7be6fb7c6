"""A browser's side of Web Push: a subscription with its keys, and the decryption of what is pushed.

Written from RFC 8188 and RFC 8291 alone, so that it checks the service's implementation; the vectors of RFC 8291 check
this one (`test_browser.py`).
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HEADER_BYTES = 21
"""RFC 8188, 2.1: 16 of salt, 4 of the record size, and the length of the key id."""


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Browser:
    """The keys of one subscription. `key`, `auth`: those of a test vector instead of random ones."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None, auth: bytes | None = None) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self.auth = auth or secrets.token_bytes(16)
        self.public_key = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def subscription(self, endpoint: str) -> dict[str, Any]:
        """Return what `PushSubscription.toJSON()` does."""
        keys = {"p256dh": encoded(self.public_key), "auth": encoded(self.auth)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}

    def decrypt(self, body: bytes) -> bytes:
        """Decrypt the body of a push: one record of aes128gcm (RFC 8291, 4). Raises if it is anything else."""
        salt, record_size, id_length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender_key, record = body[HEADER_BYTES : HEADER_BYTES + id_length], body[HEADER_BYTES + id_length :]
        assert len(record) <= record_size
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender_key)
        shared = self._key.exchange(ec.ECDH(), point)
        secret = _hkdf(self.auth, shared, b"WebPush: info\0" + self.public_key + sender_key, 32)
        key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded[-1:] == b"\2", "not the delimiter of the last record"
        return padded[:-1]


def _hkdf(salt: bytes, material: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, for at most one block."""
    extracted = hmac.new(salt, material, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\1", hashlib.sha256).digest()[:length]
