"""Encryption, checked by the example of RFC 8291, section 5, and by the tests' own decryption."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.push.encryption import MAX_PLAIN_BYTES, PAD_TO, encrypt
from tests.push.browser import HEADER_BYTES, Browser, decoded, encoded
from tests.push.test_browser import AUTH, BODY, PLAIN, PUBLIC

SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
OVERHEAD = HEADER_BYTES + 65 + 1 + 16
"""Header with the sender's key, delimiter, tag."""


def test_the_example_of_the_rfc_is_reproduced() -> None:
    sender = ec.derive_private_key(int.from_bytes(decoded(SENDER), "big"), ec.SECP256R1())
    body = encrypt(PLAIN, decoded(PUBLIC), decoded(AUTH), sender=sender, salt=decoded(SALT), pad_to=1)
    assert BODY == encoded(body)


@pytest.mark.parametrize("length", [0, 1, PAD_TO - 1, PAD_TO, PAD_TO + 1, MAX_PLAIN_BYTES - 1, MAX_PLAIN_BYTES])
def test_the_browser_decrypts_what_is_encrypted(length: int) -> None:
    """Its length shows only in steps, and fits into what every push service accepts."""
    browser, plain = Browser(), b"x" * length
    body = encrypt(plain, browser.public_key, browser.auth)
    assert plain == browser.decrypt(body)
    assert len(body) <= 4096
    assert len(body) == 4096 or (len(body) - OVERHEAD) % PAD_TO == 0


def test_no_two_bodies_are_alike() -> None:
    """Neither key nor salt is used again."""
    browser = Browser()
    bodies = [encrypt(b"the same", browser.public_key, browser.auth) for _ in range(2)]
    assert bodies[0][:16] != bodies[1][:16]
    assert bodies[0][HEADER_BYTES : HEADER_BYTES + 65] != bodies[1][HEADER_BYTES : HEADER_BYTES + 65]
