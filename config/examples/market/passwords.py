"""Password hashes (scrypt)."""

import hashlib
import hmac
import secrets


def hash_password(password: str, salt: str = "") -> str:
    salt = salt or secrets.token_hex(16)
    digest = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=5)
    return f"{salt}${digest.hex()}"


def is_correct(password: str, stored: str) -> bool:
    return hmac.compare_digest(hash_password(password, stored.partition("$")[0]), stored)


UNKNOWN_USER = hash_password("")
"""Compared with if there is no such user, so that the answer takes as long."""
