"""The tests' own decryption, checked by the example of RFC 8291, section 5 and appendix A."""

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from tests.push.browser import Browser, decoded, encoded

PLAIN = b"When I grow up, I want to be a watermelon"
PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
    "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def browser() -> Browser:
    key = ec.derive_private_key(int.from_bytes(decoded(PRIVATE), "big"), ec.SECP256R1())
    return Browser(key, decoded(AUTH))


def test_the_example_of_the_rfc_is_decrypted() -> None:
    assert PUBLIC == encoded(browser().public_key)
    assert PLAIN == browser().decrypt(decoded(BODY))


def test_a_changed_body_is_not_decrypted() -> None:
    changed = bytearray(decoded(BODY))
    changed[-1] ^= 1
    with pytest.raises(InvalidTag):
        browser().decrypt(bytes(changed))
