"""The VAPID key, and what it signs (RFC 8292)."""

import asyncio
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.datastores.mongo import Mongo
from service.push.vapid import TOKEN_LIFETIME, VapidKey
from service.push.vapid_store import VapidStore
from tests.push.browser import decoded

PROCESSES = 8


def test_a_token_says_for_whom_until_when_and_from_whom() -> None:
    key = VapidKey.generate()
    before = int(time.time())
    header = key.authorization("https://fcm.googleapis.com/fcm/send/x", "mailto:me@example.org")
    scheme, _, parameters = header.partition(" ")
    given = dict(part.split("=", 1) for part in parameters.split(", "))
    assert ("vapid", {"t", "k"}, key.public_key) == (scheme, given.keys(), given["k"])
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(given["k"]))
    claims = jwt.decode(given["t"], public, ["ES256"], audience="https://fcm.googleapis.com")
    assert {"aud", "exp", "sub"} == claims.keys()
    assert "mailto:me@example.org" == claims["sub"]
    assert before + TOKEN_LIFETIME <= claims["exp"] <= before + 24 * 3600


def test_a_token_is_used_again_for_the_same_service_only() -> None:
    key = VapidKey.generate()
    first = key.authorization("https://a.example/1", "mailto:me@example.org")
    assert first == key.authorization("https://a.example/2", "mailto:me@example.org")
    assert first != key.authorization("https://b.example/1", "mailto:me@example.org")
    assert first != key.authorization("https://a.example/1", "https://example.org")


def test_a_key_survives_being_stored() -> None:
    key = VapidKey.generate()
    assert key.public_key == VapidKey.from_pem(key.to_pem()).public_key


def test_another_kind_of_key_is_refused() -> None:
    other = VapidKey(ec.generate_private_key(ec.SECP384R1())).to_pem()
    with pytest.raises(ValueError, match="P-256"):
        VapidKey.from_pem(other)


async def test_processes_that_start_together_agree(mongo: Mongo) -> None:
    """And one that starts later, too."""
    keys = await asyncio.gather(*(VapidStore(mongo.database).key() for _ in range(PROCESSES)))
    later = await VapidStore(mongo.database).key()
    assert {later.public_key} == {key.public_key for key in keys}
    assert 1 == await mongo.database["push_keys"].count_documents({})
