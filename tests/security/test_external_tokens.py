"""Forged and misused tokens of the site beside Loa."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from config.auth_key import VerificationKey, parse_auth_key, verification_key
from service.accounts.external_tokens import ExternalToken, ExternalTokens
from service.accounts.key_source import SingleKey
from service.accounts.tokens import CLOCK_SKEW
from service.common.errors import TokenExpired, TokenInvalid
from service.common.identity import MAX_TOKEN
from tests.identity_provider import (
    ISSUER,
    SITE_SECRET,
    base64url,
    claims,
    compact,
    private_key,
    public_jwk,
    public_pem,
    sign,
    token,
)

NOW = int(time.time())


class Keys:
    """Some keys by name, like those of a JWKS."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def keys(self, kid: str | None) -> list[VerificationKey]:
        return [verification_key(private_key(name).public_key()) for name in self._names if kid in (None, name)]


RSA = ExternalTokens(ISSUER, Keys("rsa"))
EACH = ExternalTokens(ISSUER, Keys("rsa", "p256", "p384", "ed25519"))
SECRET = ExternalTokens(ISSUER, SingleKey(parse_auth_key(SITE_SECRET)))


async def decode(text: str, tokens: ExternalTokens = RSA) -> ExternalToken:
    return await tokens.decode(text)


async def refused(text: str, tokens: ExternalTokens = RSA) -> None:
    with pytest.raises(TokenInvalid):
        await tokens.decode(text)


@pytest.mark.parametrize("key", ["rsa", "p256", "p384", "ed25519"])
async def test_each_kind_of_key_verifies_its_own_algorithm(key: str) -> None:
    assert "42" == (await decode(token(key=key), EACH)).external_id
    assert "42" == (await decode(sign(claims(), key, kid=None), EACH)).external_id
    await refused(token(key=key)[:-8] + "AAAAAAAA", EACH)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_an_rsa_key_verifies_all_algorithms_of_its_kind(algorithm: str) -> None:
    assert "42" == (await decode(sign(claims(), "rsa", algorithm))).external_id


async def test_a_shared_secret_verifies_hs256_only() -> None:
    assert "42" == (await decode(token(key="secret"), SECRET)).external_id
    for algorithm in ("HS384", "HS512"):
        await refused(sign(claims(), "secret", algorithm), SECRET)
    await refused(token(key="rsa"), SECRET)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_an_unsigned_token_is_refused(algorithm: str) -> None:
    unsigned = compact({"alg": algorithm, "typ": "JWT", "kid": "rsa"}, claims())
    for signature in ("", base64url(b"x")):
        await refused(f"{unsigned}.{signature}")
        await refused(f"{unsigned}.{signature}", SECRET)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_shared_secret(algorithm: str) -> None:
    """Anybody knows the public key, and could sign with it (RFC 8725, section 2.1)."""
    pem = public_pem("rsa")
    secrets = [pem, pem.strip(), pem.replace("\n", "\\n"), json.dumps(public_jwk("rsa")), public_jwk("rsa")["n"]]
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    for secret in secrets:
        for tokens in (RSA, ExternalTokens(ISSUER, SingleKey(parse_auth_key(pem)))):
            signing = compact({"alg": algorithm, "typ": "JWT", "kid": "rsa"}, claims())
            await refused(
                f"{signing}.{base64url(hmac.new(secret.encode(), signing.encode(), digest).digest())}", tokens
            )


UNUSABLE_KEYS: dict[str, Callable[[], str]] = {
    "SSH2": lambda: public_pem("p256").replace("-----BEGIN PUBLIC KEY-----", "---- BEGIN SSH2 PUBLIC KEY ----"),
    "SSH": lambda: "ssh-rsa " + "A" * 40,
    "JWK": lambda: json.dumps(public_jwk("rsa")),
    "DER in base64": lambda: "".join(public_pem("rsa").splitlines()[1:-1]),
    "private": lambda: public_pem("rsa").replace("PUBLIC", "PRIVATE"),
    "RSA of 1024 bits": lambda: public_pem("rsa-1024"),
    "no key": lambda: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    "short secret": lambda: "x" * 31,
}


@pytest.mark.parametrize("kind", UNUSABLE_KEYS)
def test_an_auth_key_that_everybody_knows_or_can_guess_is_refused(kind: str) -> None:
    text = UNUSABLE_KEYS[kind]()
    with pytest.raises(ValueError, match=r".") as error:
        parse_auth_key(text)
    assert text not in str(error.value)


async def test_a_pem_key_may_have_escaped_line_breaks() -> None:
    """As the variables of many platforms have them."""
    keys = SingleKey(parse_auth_key(public_pem("p256").replace("\n", "\\n")))
    assert "42" == (await decode(token(key="p256"), ExternalTokens(ISSUER, keys))).external_id


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/key.pem"},
        {"jwk": {"kty": "oct", "k": "c2VjcmV0"}},
        {"x5c": [base64.b64encode(b"a certificate").decode()]},
        {"crit": ["exp"], "exp": 0},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"cty": "JWT"},
        {"typ": "logout+jwt"},
        {"typ": "secevent+jwt"},
        {"typ": 1},
        {"kid": ["rsa"]},
        {"kid": {"$ne": None}},
        {"kid": ""},
        {"kid": "x" * 257},
        {"kid": "rsa\0"},
        {"kid": "../../../../dev/null"},
        {"kid": "https://evil.example/key"},
        {"kid": "rsa' UNION SELECT 'x"},
        {"alg": ["RS256"]},
        {"alg": "rs256"},
    ],
    ids=lambda header: json.dumps(header)[:40],
)
async def test_a_token_neither_brings_its_own_key_nor_changes_what_it_means(header: dict[str, Any]) -> None:
    """Signed with the right key, so that nothing but the header is wrong."""
    await refused(sign(claims(), "rsa", "RS256", **header))


async def test_a_key_of_the_attackers_own_is_refused() -> None:
    await refused(sign(claims(), "rsa-2", kid="rsa"))
    await refused(sign(claims(), "rsa-2", kid="rsa", jwk=public_jwk("rsa-2")))
    await refused(sign(claims(), "rsa-2", kid=None))
    await refused(sign(claims(), "p256", "ES256", kid="rsa"))


@pytest.mark.parametrize("missing", ["iss", "sub", "exp"])
async def test_a_missing_claim_is_refused(missing: str) -> None:
    await refused(
        sign(claims(**{missing: None}) if missing != "sub" else {k: v for k, v in claims().items() if k != "sub"})
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": 42},
        {"sub": {"$ne": ""}},
        {"sub": ["42"]},
        {"sub": "42\0"},
        {"sub": "\ud800"},
        {"exp": "1e99"},
        {"exp": True},
        {"exp": 10**400},
        {"exp": 1_900_000_000_000},
        {"exp": -1},
        {"iat": "now"},
        {"iat": 2**40},
        {"nbf": 2**40},
        {"nbf": [0]},
        {"sid": ""},
        {"sid": 7},
        {"sid": "x" * 256},
        {"aud": 1},
        {"aud": [1]},
        {"iss": "loa"},
        {"iss": ISSUER.upper()},
        {"iss": [ISSUER]},
    ],
    ids=lambda wrong: repr(wrong)[:40],
)
async def test_an_invalid_claim_is_refused(wrong: dict[str, Any]) -> None:
    await refused(sign({**claims(), **wrong}))


async def test_an_expired_token_is_expired() -> None:
    for exp in (0, NOW - 1, float(NOW) - 0.5):
        with pytest.raises(TokenExpired):
            await decode(token(exp=exp))


async def test_clocks_may_differ_by_a_few_seconds() -> None:
    """In what begins, not in what ends: a token that has expired has expired."""
    now = float(NOW)
    tokens = ExternalTokens(ISSUER, Keys("rsa"), clock=lambda: now)
    for name in ("iat", "nbf"):
        assert await decode(token(**{"iat": NOW, name: NOW + CLOCK_SKEW}), tokens)
        await refused(token(**{"iat": NOW, name: NOW + CLOCK_SKEW + 1}), tokens)
    with pytest.raises(TokenExpired):
        await decode(token(iat=NOW, exp=NOW), tokens)


async def test_the_audience_is_checked_if_one_is_set() -> None:
    tokens = ExternalTokens(ISSUER, Keys("rsa"), audience="loa")
    for aud in ("loa", ["other", "loa"]):
        assert await decode(token(aud=aud), tokens)
    for aud in (None, "other", "loa2", [], ["LOA"], ""):
        await refused(token(aud=aud), tokens)
    assert await decode(token(aud="anything"))


@pytest.mark.parametrize("payload", [[], "text", 1, None, {"iss": ISSUER}, {}], ids=repr)
async def test_a_payload_that_is_no_set_of_claims_is_refused(payload: Any) -> None:
    await refused(sign(payload))


async def test_a_token_has_one_spelling() -> None:
    """Padding, other bits beyond the last byte, and other serialisations would make several tokens of one."""
    good = token()
    header, payload, signature = good.split(".")
    assert await decode(good)
    for text in (
        f"{good}=",
        f"{header}=.{payload}.{signature}",
        f"{good}.",
        f".{good}",
        f"{header}.{payload}",
        f" {good}",
        f"{good}\n",
        json.dumps({"protected": header, "payload": payload, "signature": signature}),
        good.replace(".", ".é"),
        "",
        "..",
        "a.b.c",
        token(name="x" * MAX_TOKEN),
    ):
        await refused(text)
        assert text != good
        assert not RSA.names_issuer(text) or text.count(".") == 2


async def test_deeply_nested_json_is_refused() -> None:
    nested = base64url(b'{"a":' * 400 + b"1" + b"}" * 400)
    for text in (f"{nested}.{nested}.AAAA", f"{base64url(b'[' * 2000)}.{base64url(b'[' * 2000)}.AAAA"):
        await refused(text)
        assert not RSA.names_issuer(text)


def test_only_the_issuer_decides_who_verifies() -> None:
    assert RSA.names_issuer(token())
    assert RSA.names_issuer(sign(claims(), "rsa-2"))
    for payload in (claims(iss="loa"), claims(iss=None), claims(iss=[ISSUER]), [ISSUER]):
        assert not RSA.names_issuer(sign(payload))
    assert not RSA.names_issuer(jwt.encode({"iss": "loa"}, "x" * 32, "HS256"))


@pytest.mark.parametrize(
    ("given", "profile"),
    [
        ({}, {}),
        ({"name": " Ánh ", "preferred_username": "anh"}, {"display_name": "Ánh", "username": "anh"}),
        ({"name": "\u202eevil\n" + "x" * 100}, {"display_name": "evil" + "x" * 60}),
        ({"name": "\u200b"}, {}),
        ({"name": {"$set": 1}, "preferred_username": ["a"], "picture": 1}, {}),
        ({"picture": "https://example.org/a.png"}, {"avatar": "https://example.org/a.png"}),
        ({"picture": "http://example.org/a.png"}, {"avatar": None}),
        ({"picture": "https://10.0.0.1/a.png"}, {"avatar": None}),
        ({"picture": "javascript:alert(1)"}, {"avatar": None}),
        ({"picture": ""}, {"avatar": None}),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_claims_about_a_person_become_a_profile_as_far_as_they_can(
    given: dict[str, Any], profile: dict[str, Any]
) -> None:
    assert profile == (await decode(token(**given))).profile


@pytest.mark.parametrize(
    ("roles", "kept"),
    [
        (["moderator", 1, "", "x" * 65, None, "editor"], ("moderator", "editor")),
        ("moderator", ()),
        ({"moderator": True}, ()),
        (["a"] * 100, ("a",) * 32),
    ],
    ids=["mixed", "text", "object", "many"],
)
async def test_roles_are_bounded(roles: Any, kept: tuple[str, ...]) -> None:
    assert kept == (await decode(token(roles=roles))).roles
