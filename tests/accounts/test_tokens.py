"""Tokens: those that Loa issued are accepted, and all others refused."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest

from service.accounts.tokens import REFRESH, Tokens
from service.common.errors import TokenExpired, TokenInvalid
from service.common.identity import ACCESS, MAX_TOKEN
from service.common.ids import new_id
from tests.accounts.accounts_process import SECRET

USER, SESSION = new_id(), new_id()
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PREVIOUS, OLDEST = "a previous secret" + 64 * "-", "the secret before it" + 64 * "-"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET, access_ttl=900, refresh_ttl=3600)


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a valid access token with `changes`; None removes a claim."""
    now = int(time.time())
    good = {
        "sub": USER,
        "sid": SESSION,
        "jti": "a" * 22,
        "scope": ACCESS,
        "iat": now,
        "exp": now + 60,
        "iss": "loa",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def sign(payload: Any, key: str = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(payload, key, algorithm, headers=header or None)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(TokenInvalid):
        tokens.decode(token, ACCESS)


def test_an_issued_token_is_accepted(tokens: Tokens) -> None:
    issued = tokens.issue(ACCESS, USER, SESSION)
    decoded = tokens.decode(issued.text, ACCESS)
    assert (USER, SESSION, issued.id, issued.expires_at) == (decoded.sub, decoded.sid, decoded.jti, decoded.exp)
    assert 900 == decoded.exp - decoded.iat
    assert {"sub", "sid", "jti", "scope", "iat", "exp", "iss"} == decoded.model_dump().keys()


def test_an_issued_token_is_a_jwt(tokens: Tokens) -> None:
    """Another implementation verifies it, and finds the same header and claims."""
    text = tokens.issue(ACCESS, USER, SESSION).text
    found = jwt.decode_complete(text, SECRET, ["HS256"], issuer="loa")
    assert {"alg": "HS256", "typ": "JWT"} == found["header"]
    assert tokens.decode(text, ACCESS).model_dump() == found["payload"]


def test_the_parameters_of_the_header_may_have_the_other_order(tokens: Tokens) -> None:
    """As libraries write it that do not sort them."""
    text = jwt.encode(claims(), SECRET, "HS256", sort_headers=False)
    assert text.partition(".")[0] != tokens.issue(ACCESS, USER, SESSION).text.partition(".")[0]
    assert USER == tokens.decode(text, ACCESS).sub


def test_a_token_made_by_the_test_helpers_is_accepted(tokens: Tokens) -> None:
    """So the tests below are refused for the reason in their names."""
    assert USER == tokens.decode(sign(claims()), ACCESS).sub


def test_token_ids_are_unique(tokens: Tokens) -> None:
    """Even of tokens issued in the same second for the same session."""
    assert 100 == len({tokens.issue(ACCESS, USER, SESSION).id for _ in range(100)})


@pytest.mark.parametrize("claim", ["sub", "sid", "jti", "scope", "iat", "exp", "iss"])
def test_a_missing_claim_is_refused(tokens: Tokens, claim: str) -> None:
    refused(tokens, sign(claims(**{claim: None})))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", "not an id"),
        ("sub", {"$ne": None}),
        ("sub", 5),
        ("sid", ""),
        ("sid", [SESSION]),
        ("jti", "short"),
        ("jti", "{loa}:revoked:somebody"),
        ("jti", 5),
        ("scope", [ACCESS]),
        ("scope", "access_token refresh_token"),
        ("scope", "ACCESS_TOKEN"),
        ("iat", "1700000000"),
        ("iat", True),
        ("iat", -1),
        ("exp", "9999999999"),
        ("exp", 9_999_999_999.5),
        ("exp", True),
        ("exp", 10**400),
        ("exp", float("inf")),
        ("exp", float("nan")),
        ("iss", "LOA"),
        ("iss", ["loa"]),
    ],
)
def test_a_claim_of_another_type_or_format_is_refused(tokens: Tokens, claim: str, value: Any) -> None:
    """No value is converted, even under a valid signature."""
    payload = json.dumps(claims(**{claim: value})).encode()
    refused(tokens, jwt.PyJWS().encode(payload, SECRET, "HS256"))


def test_another_issuer_is_refused(tokens: Tokens) -> None:
    """Even with Loa's key: two services may share one."""
    refused(tokens, sign(claims(iss="another")))


@pytest.mark.parametrize("payload", [[], "loa", 5, None])
def test_a_payload_that_is_not_an_object_is_refused(tokens: Tokens, payload: Any) -> None:
    refused(tokens, jwt.PyJWS().encode(json.dumps(payload).encode(), SECRET, "HS256"))


def test_an_unknown_claim_is_refused(tokens: Tokens) -> None:
    """`aud` and `nbf` change the meaning of a token; Loa issues neither."""
    refused(tokens, sign(claims(aud="loa")))
    refused(tokens, sign(claims(nbf=int(time.time()) + 60)))
    refused(tokens, sign(claims(admin=True)))


def test_a_token_is_refused_for_another_scope(tokens: Tokens) -> None:
    """A refresh token is not an access token, and vice versa."""
    with pytest.raises(TokenInvalid):
        tokens.decode(tokens.issue(REFRESH, USER, SESSION).text, ACCESS)
    with pytest.raises(TokenInvalid):
        tokens.decode(tokens.issue(ACCESS, USER, SESSION).text, REFRESH)
    assert USER == tokens.decode(tokens.issue(REFRESH, USER, SESSION).text, REFRESH).sub


@pytest.mark.parametrize("ago", [0, 1, 3600])
def test_an_expired_token_is_expired(tokens: Tokens, ago: int) -> None:
    """From the exact second of `exp` on, without leeway."""
    with pytest.raises(TokenExpired):
        tokens.decode(sign(claims(iat=int(time.time()) - 7200, exp=int(time.time()) - ago)), ACCESS)


def test_an_expired_token_of_another_scope_is_invalid(tokens: Tokens) -> None:
    """TokenExpired would suggest that a refresh helps."""
    refused(tokens, sign(claims(scope=REFRESH, exp=int(time.time()) - 1)))


def test_a_token_issued_in_the_future_is_refused(tokens: Tokens) -> None:
    """Except within the allowed clock skew."""
    refused(tokens, sign(claims(iat=int(time.time()) + 30)))
    assert USER == tokens.decode(sign(claims(iat=int(time.time()) + 2)), ACCESS).sub


def test_an_unsigned_token_is_refused(tokens: Tokens) -> None:
    """The algorithm `none` is refused in any spelling, with or without a signature."""
    refused(tokens, sign(claims(), key="", algorithm="none"))
    for name in ("none", "None", "NONE", "nOnE", "", None, ["HS256"], {"HS256": 1}):
        head = part({"alg": name, "typ": "JWT"})
        refused(tokens, f"{head}.{part(claims())}.")
        refused(tokens, f"{head}.{part(claims())}.{sign(claims()).split('.')[2]}")
    refused(tokens, f"{part({'typ': 'JWT'})}.{part(claims())}.")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused(tokens: Tokens, algorithm: str) -> None:
    """Even an equally strong one with Loa's key."""
    refused(tokens, sign(claims(), algorithm=algorithm))


def test_another_key_is_refused(tokens: Tokens) -> None:
    refused(tokens, sign(claims(), key="another secret that has more than 32 bytes"))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../dev/null"},
        {"kid": "1' UNION SELECT 'key"},
        {"jku": "https://evil.example/keys.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"crit": ["exp"]},
        {"crit": []},
        {"cty": "JWT"},
        {"typ": "at+jwt"},
        {"b64": True},
    ],
)
def test_a_header_with_other_parameters_is_refused(tokens: Tokens, header: dict[str, Any]) -> None:
    """Even under a valid signature: Loa's headers name no key and no extension."""
    head = {"alg": "HS256", "typ": "JWT"} | header
    signed = f"{part(head)}.{part(claims())}"
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), signed.encode(), "sha256")).rstrip(b"=").decode()
    refused(tokens, f"{signed}.{signature}")


def test_a_modified_token_is_refused(tokens: Tokens) -> None:
    """The signature covers every part."""
    head, body, signature = sign(claims()).split(".")
    other = part(claims(sub=new_id()))
    refused(tokens, f"{head}.{other}.{signature}")
    refused(tokens, f"{head}.{body}.{signature[:-4]}AAAA")
    refused(tokens, f"{head}.{body}.")
    refused(tokens, f"{head}.{body}")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "x", "a.b.c", "null", "\0", " ", "ế.ế.ế", "\ud800.a.b", "é" * 50, "=.=.="]
)
def test_a_malformed_token_is_refused(tokens: Tokens, token: str) -> None:
    refused(tokens, token)


@pytest.mark.parametrize("part", range(3))
def test_a_token_has_one_spelling(tokens: Tokens, part: int) -> None:
    """Padding, other alphabets, ignored characters, and other bits beyond the last byte are refused."""
    for _ in range(4):  # lengths of the payload differ, and with them the bits beyond the last byte
        parts = tokens.issue(ACCESS, USER, SESSION).text.split(".")
        good = parts[part]
        spellings = {
            good + "=" * (-len(good) % 4 or 4),
            good + "==",
            good + "\n",
            good[:5] + "\n" + good[5:],
            good + "+/",
        }
        spellings |= {good[:-1] + last for last in BASE64URL if decoded(good[:-1] + last) == decoded(good)} - {good}
        for spelling in spellings:
            with pytest.raises(TokenInvalid):
                tokens.decode(".".join([*parts[:part], spelling, *parts[part + 1 :]]), ACCESS)


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_beyond_the_maximum_length_is_not_decoded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding a token of 20 MB takes a second."""
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: pytest.fail("The token was decoded"))
    monkeypatch.setattr(base64, "urlsafe_b64decode", lambda *_: pytest.fail("The token was decoded"))
    refused(tokens, f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{'A' * MAX_TOKEN}.x")


def test_deeply_nested_json_is_refused(tokens: Tokens) -> None:
    """Thousands of brackets raise no RecursionError."""
    deep = base64.urlsafe_b64encode(b"[" * 1500).rstrip(b"=").decode()
    refused(tokens, f"{deep}.{part(claims())}.x")
    refused(tokens, f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{deep}.x")


@pytest.fixture
def rotated() -> Tokens:
    """Tokens after two changes of the secret."""
    return Tokens(SECRET, access_ttl=900, refresh_ttl=3600, other_secrets=(PREVIOUS, OLDEST))


@pytest.mark.parametrize("key", [SECRET, PREVIOUS, OLDEST])
def test_each_accepted_secret_is_valid(rotated: Tokens, key: str) -> None:
    """The current one and the previous ones."""
    assert USER == rotated.decode(sign(claims(), key), ACCESS).sub


def test_only_the_current_secret_signs(rotated: Tokens, tokens: Tokens) -> None:
    """So issued tokens stay valid when the previous secrets are removed."""
    assert USER == tokens.decode(rotated.issue(ACCESS, USER, SESSION).text, ACCESS).sub


def test_an_unknown_secret_is_refused_among_several(rotated: Tokens) -> None:
    refused(rotated, sign(claims(), "another secret, and at least 32 bytes long"))
    refused(rotated, f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}.")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_previous_secret_is_subject_to_the_same_rules(rotated: Tokens, algorithm: str) -> None:
    refused(rotated, sign(claims(), PREVIOUS, algorithm))
    refused(rotated, sign(claims(iss="another"), PREVIOUS))
    with pytest.raises(TokenExpired):
        rotated.decode(sign(claims(exp=int(time.time()) - 1), PREVIOUS), ACCESS)
