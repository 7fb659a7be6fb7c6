"""A JWKS URL that answers nonsense, too much, too slowly or elsewhere, or cannot be reached."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.accounts import jwks
from service.accounts.external_tokens import ExternalTokens
from service.accounts.jwks import MAX_BYTES, Jwks
from service.common.errors import TokenInvalid, Unavailable
from tests.identity_provider import ISSUER, JwksServer, claims, jwks_server, public_jwk, respond, sign, token


@pytest.fixture
async def site() -> AsyncIterator[JwksServer]:
    async with jwks_server() as server:
        yield server


async def started(site: JwksServer, min_interval: float = 3600, max_age: float = 3600) -> Jwks:
    keys = Jwks(site.url, min_interval=min_interval, max_age=max_age)
    await keys.start()
    return keys


async def test_a_token_is_verified_with_a_key_of_the_url(site: JwksServer) -> None:
    """Tokens that arrive before the first answer wait for it, and one request serves them all."""
    keys = await started(site)
    tokens = ExternalTokens(ISSUER, keys)
    assert ["42"] * 20 == [
        each.external_id for each in await asyncio.gather(*(tokens.decode(token()) for _ in range(20)))
    ]
    assert 1 == site.requests
    await keys.close()


async def test_an_unknown_kid_fetches_once_in_the_interval(site: JwksServer) -> None:
    """Anybody can make one up."""
    keys = await started(site)
    tokens = ExternalTokens(ISSUER, keys)
    await tokens.decode(token())
    for number in range(20):
        with pytest.raises(TokenInvalid):
            await tokens.decode(sign(claims(), "rsa-2", kid=f"made up {number}"))
    assert 1 == site.requests
    await keys.close()


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(site: JwksServer) -> None:
    keys = await started(site, min_interval=0)
    tokens = ExternalTokens(ISSUER, keys)
    await tokens.decode(token())
    site.keys = [public_jwk("rsa-2"), public_jwk("p256")]
    assert await asyncio.gather(*(tokens.decode(token(key=key)) for key in ("rsa-2", "p256") * 5))
    assert 2 == site.requests, "those who wait share a fetch"
    with pytest.raises(TokenInvalid):
        await tokens.decode(token())
    await keys.close()


async def test_the_keys_are_fetched_again_when_they_are_old(site: JwksServer) -> None:
    """So a key that was withdrawn is forgotten although no token has an unknown `kid`."""
    keys = await started(site, max_age=0.05)
    tokens = ExternalTokens(ISSUER, keys)
    await tokens.decode(token())
    site.keys = [public_jwk("p256")]
    async with asyncio.timeout(10):
        while await keys.keys("rsa"):
            await asyncio.sleep(0.01)
    await keys.close()


async def _redirect(writer: asyncio.StreamWriter) -> None:
    await respond(writer, b"", "302 Found", "Location: /elsewhere.json")


async def _not_json(writer: asyncio.StreamWriter) -> None:
    await respond(writer, b"<html>", "200 OK", "Content-Type: application/json")


async def _nested(writer: asyncio.StreamWriter) -> None:
    await respond(writer, b"[" * 200_000)


async def _no_set(writer: asyncio.StreamWriter) -> None:
    await respond(writer, json.dumps({"keys": {"rsa": public_jwk("rsa")}}).encode())


async def _huge(writer: asyncio.StreamWriter) -> None:
    document = json.dumps({"keys": [public_jwk("rsa")]}).encode()
    await respond(writer, document + b" " * (MAX_BYTES - len(document) + 1))


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def _bomb(writer: asyncio.StreamWriter) -> None:
    document = json.dumps({"keys": [public_jwk("rsa")]}).encode()
    await respond(writer, gzip.compress(document + b" " * 10_000_000), "200 OK", "Content-Encoding: gzip")


async def _error(writer: asyncio.StreamWriter) -> None:
    await respond(writer, json.dumps({"keys": [public_jwk("rsa")]}).encode(), "500 Internal Server Error")


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\0\1\2 nothing of HTTP\r\n\r\n")


async def _slow(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _private(writer: asyncio.StreamWriter) -> None:
    await respond(writer, json.dumps({"keys": [public_jwk("rsa", d="AQAB")]}).encode())


BAD_ANSWERS = [_redirect, _not_json, _nested, _no_set, _huge, _endless, _bomb, _error, _garbage, _slow, _private]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda answer: answer.__name__.strip("_"))
async def test_a_bad_answer_is_refused_and_the_known_keys_stay(
    site: JwksServer, monkeypatch: pytest.MonkeyPatch, answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> None:
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT", 0.3 if answer is _slow else 5.0)
    site.answer = answer
    keys = await started(site, min_interval=0)
    tokens = ExternalTokens(ISSUER, keys)
    with pytest.raises(Unavailable):
        await tokens.decode(token())

    site.answer = None
    assert "42" == (await tokens.decode(token())).external_id
    site.answer = answer
    with pytest.raises(Unavailable):
        await tokens.decode(token(key="rsa-2"))
    assert "42" == (await tokens.decode(token())).external_id
    await keys.close()


async def test_known_keys_stay_valid_while_the_url_cannot_be_reached() -> None:
    async with jwks_server() as site:
        keys = await started(site, min_interval=0)
        tokens = ExternalTokens(ISSUER, keys)
        await tokens.decode(token())
    with pytest.raises(Unavailable):
        await tokens.decode(token(key="rsa-2"))
    assert "42" == (await tokens.decode(token())).external_id
    await keys.close()


UNUSABLE_KEYS: dict[str, Callable[[], Any]] = {
    "a secret": lambda: {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "rsa", "alg": "HS256"},
    "for encryption": lambda: public_jwk("rsa", use="enc"),
    "for signing": lambda: public_jwk("rsa", key_ops=["sign"]),
    "operations are no list": lambda: public_jwk("rsa", key_ops="verify"),
    "RSA for HS256": lambda: public_jwk("rsa", alg="HS256"),
    "RSA for encryption": lambda: public_jwk("rsa", alg="RSA-OAEP"),
    "alg is a number": lambda: public_jwk("rsa", alg=1),
    "kid is a number": lambda: public_jwk("rsa", kid=1),
    "kty is a list": lambda: public_jwk("rsa", kty=["RSA"]),
    "RSA as EC": lambda: public_jwk("rsa", kty="EC"),
    "a tiny modulus": lambda: public_jwk("rsa", n="AQAB"),
    "no modulus": lambda: public_jwk("rsa", n=None),
    "the modulus is an object": lambda: public_jwk("rsa", n={}),
    "RSA of 1024 bits": lambda: public_jwk("rsa-1024", kid="rsa"),
    "a point that is not on the curve": lambda: public_jwk("p256", kid="rsa", x="A" * 43),
    "another curve": lambda: public_jwk("p256", kid="rsa", crv="secp256k1"),
    "text": lambda: "rsa",
    "null": lambda: None,
}


@pytest.mark.parametrize("kind", UNUSABLE_KEYS)
def test_a_key_that_cannot_verify_signatures_is_left_out(kind: str) -> None:
    document = {"keys": [UNUSABLE_KEYS[kind](), public_jwk("ed25519")]}
    assert ["ed25519"] == [found.kid for found in jwks.parse_jwks(json.dumps(document).encode())]


async def test_the_alg_of_a_key_narrows_its_algorithms(site: JwksServer) -> None:
    site.keys = [public_jwk("rsa", alg="PS256")]
    keys = await started(site)
    tokens = ExternalTokens(ISSUER, keys)
    assert await tokens.decode(sign(claims(), "rsa", "PS256"))
    with pytest.raises(TokenInvalid):
        await tokens.decode(sign(claims(), "rsa", "RS256"))
    await keys.close()


async def test_a_client_that_disconnects_does_not_end_the_fetch_for_others(site: JwksServer) -> None:
    released = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await respond(writer, json.dumps({"keys": site.keys}).encode())

    site.answer = answer
    keys = await started(site)
    tokens = ExternalTokens(ISSUER, keys)
    first, second = (asyncio.create_task(tokens.decode(token())) for _ in range(2))
    async with asyncio.timeout(10):
        while not site.requests:
            await asyncio.sleep(0.01)
    first.cancel()
    released.set()
    assert "42" == (await second).external_id
    assert first.cancelled()
    await keys.close()
