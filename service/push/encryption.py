"""Encryption of pushes: aes128gcm (RFC 8188) with the keys of a subscription (RFC 8291)."""

import os

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SALT_BYTES = 16
RECORD_SIZE = 4096
"""RFC 8291, 4: the only record has at most this size, which the header says."""
LAST_RECORD = b"\2"
MAX_PLAIN_BYTES = 3993
"""RFC 8291, 4: what fits into 4,096 bytes, which every push service accepts, with header, delimiter and tag."""
PAD_TO = 256
"""Bodies have lengths in steps of this size: the push service does not see how long the text is."""


def encrypt(
    plain: bytes,
    public_key: bytes,
    auth: bytes,
    *,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
    pad_to: int = PAD_TO,
) -> bytes:
    """Return the body of a push for the browser with this `p256dh` and `auth`. `plain`: up to MAX_PLAIN_BYTES.

    `sender`, `salt`: those of a test vector; by default, each call has its own.
    """
    assert len(plain) <= MAX_PLAIN_BYTES
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(SALT_BYTES)
    own_key = sender.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = sender.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key))
    secret = _derive(shared, auth, b"WebPush: info\0" + public_key + own_key, 32)
    key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    padding = min(-len(plain) % pad_to, MAX_PLAIN_BYTES - len(plain))
    record = AESGCM(key).encrypt(nonce, plain + LAST_RECORD + b"\0" * padding, None)
    return salt + RECORD_SIZE.to_bytes(4, "big") + bytes([len(own_key)]) + own_key + record


def _derive(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(material)
