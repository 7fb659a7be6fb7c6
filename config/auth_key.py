"""Keys that verify the tokens of another site, and the algorithms that each kind of key allows."""

import base64
import binascii
from contextlib import suppress
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from config.settings import MIN_SECRET_BYTES

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
"""RFC 7518, section 3.3; beyond, a verification takes milliseconds."""

SECRET_ALGORITHMS = frozenset({"HS256"})
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
"""By curve (RFC 7518, section 3.4)."""
ED25519_ALGORITHMS = frozenset({"EdDSA"})

PEM = "-----BEGIN "
PUBLIC_KEY_MARKS = (PEM, "---- BEGIN", "ssh-", "ecdsa-", "sk-", "{")
"""How the text of a key in another format begins: PEM, SSH, JWK. As a secret it would be one that everybody knows."""


class VerificationKey(NamedTuple):
    """`key`: the bytes of a secret, or a public key of `cryptography`. `algorithms`: the only ones to verify with."""

    key: Any
    algorithms: frozenset[str]


def parse_auth_key(text: str) -> VerificationKey:
    """Parse a PEM public key, in which line breaks may be written as `\\n`, or an HS256 secret.

    Raises ValueError, which does not quote the key.
    """
    if text.strip().startswith(PEM):
        pem = text.strip().replace("\\n", "\n").encode()
        if b"PRIVATE KEY" in pem:
            raise ValueError("is a private key: Loa needs the public key only")
        try:
            return verification_key(load_pem_public_key(pem))
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(
                "is not a PEM public key (RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519)"
            ) from None
    if text.strip().startswith(PUBLIC_KEY_MARKS) or _is_public_der(text):
        raise ValueError("is a public key in another format: as an HS256 secret, everybody would know it; use PEM")
    if len(text.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"an HS256 secret must have at least {MIN_SECRET_BYTES} bytes")
    return VerificationKey(text.encode(), SECRET_ALGORITHMS)


def verification_key(key: object) -> VerificationKey:
    """Return a public key with the algorithms that its kind allows. Raises ValueError for other kinds and sizes."""
    match key:
        case RSAPublicKey() if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return VerificationKey(key, RSA_ALGORITHMS)
        case EllipticCurvePublicKey() if key.curve.name in EC_ALGORITHMS:
            return VerificationKey(key, frozenset({EC_ALGORITHMS[key.curve.name]}))
        case Ed25519PublicKey():
            return VerificationKey(key, ED25519_ALGORITHMS)
    raise ValueError("is a key of a kind or size that is not accepted")


def _is_public_der(text: str) -> bool:
    """Return whether `text` is a public key or a certificate in base64 without the lines of PEM, as some consoles show
    it."""
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return False
    for load in (load_der_public_key, x509.load_der_x509_certificate):
        with suppress(ValueError, UnsupportedAlgorithm):
            load(der)
            return True
    return False
