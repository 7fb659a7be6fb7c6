"""Which tokens are ours. Every other one is refused, whatever it says of itself."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from service.accounts.tokens import ACCESS, REFRESH, Tokens
from service.common.errors import TokenExpired, TokenInvalid
from service.common.ids import new_id
from tests.accounts.accounts_process import SECRET

USER, SESSION = new_id(), new_id()
FORMER, OLDEST = "a former secret" + 64 * "-", "the secret before it" + 64 * "-"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET, access_ttl=900, refresh_ttl=3600)


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good access token, but for `changes`; None leaves one out."""
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


def test_what_is_issued_is_accepted(tokens: Tokens) -> None:
    """The claims of an access token come back as they went in."""
    issued = tokens.issue(ACCESS, USER, SESSION)
    decoded = tokens.decode(issued.text, ACCESS)
    assert (USER, SESSION, issued.id, issued.expires_at) == (decoded.sub, decoded.sid, decoded.jti, decoded.exp)
    assert 900 == decoded.exp - decoded.iat
    assert {"sub", "sid", "jti", "scope", "iat", "exp", "iss"} == decoded.model_dump().keys()


def test_a_token_made_by_hand_as_ours_are_is_accepted(tokens: Tokens) -> None:
    """So that what follows is refused for the reason it names."""
    assert USER == tokens.decode(sign(claims()), ACCESS).sub


def test_no_two_tokens_have_one_id(tokens: Tokens) -> None:
    """Tokens issued in the same second for the same session differ."""
    assert 100 == len({tokens.issue(ACCESS, USER, SESSION).id for _ in range(100)})


@pytest.mark.parametrize("claim", ["sub", "sid", "jti", "scope", "iat", "exp", "iss"])
def test_a_missing_claim_is_refused(tokens: Tokens, claim: str) -> None:
    """Each of them is required."""
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
def test_a_claim_of_another_type_or_shape_is_refused(tokens: Tokens, claim: str, value: Any) -> None:
    """Though the signature is good: nothing is made into what it is not."""
    payload = json.dumps(claims(**{claim: value})).encode()
    refused(tokens, jwt.PyJWS().encode(payload, SECRET, "HS256"))


def test_another_issuer_is_refused(tokens: Tokens) -> None:
    """Even with our key: one key may serve two services."""
    refused(tokens, sign(claims(iss="another")))


@pytest.mark.parametrize("payload", [[], "loa", 5, None])
def test_a_payload_that_is_no_object_is_refused(tokens: Tokens, payload: Any) -> None:
    """Though the signature is good."""
    refused(tokens, jwt.PyJWS().encode(json.dumps(payload).encode(), SECRET, "HS256"))


def test_a_claim_that_is_not_ours_is_refused(tokens: Tokens) -> None:
    """`aud` and `nbf` change what a token means; ours has neither."""
    refused(tokens, sign(claims(aud="loa")))
    refused(tokens, sign(claims(nbf=int(time.time()) + 60)))
    refused(tokens, sign(claims(admin=True)))


def test_a_scope_opens_nothing_but_its_own(tokens: Tokens) -> None:
    """A refresh token is no access token, nor the other way round."""
    with pytest.raises(TokenInvalid):
        tokens.decode(tokens.issue(REFRESH, USER, SESSION).text, ACCESS)
    with pytest.raises(TokenInvalid):
        tokens.decode(tokens.issue(ACCESS, USER, SESSION).text, REFRESH)
    assert USER == tokens.decode(tokens.issue(REFRESH, USER, SESSION).text, REFRESH).sub


@pytest.mark.parametrize("ago", [0, 1, 3600])
def test_an_expired_token_is_told_so(tokens: Tokens, ago: int) -> None:
    """From the second on that it names, and with no grace."""
    with pytest.raises(TokenExpired):
        tokens.decode(sign(claims(iat=int(time.time()) - 7200, exp=int(time.time()) - ago)), ACCESS)


def test_an_expired_token_of_another_scope_is_invalid(tokens: Tokens) -> None:
    """What would not have opened it in time is not told to renew itself."""
    refused(tokens, sign(claims(scope=REFRESH, exp=int(time.time()) - 1)))


def test_a_token_of_the_future_is_refused(tokens: Tokens) -> None:
    """But for the little that the clocks of two machines may differ by."""
    refused(tokens, sign(claims(iat=int(time.time()) + 30)))
    assert USER == tokens.decode(sign(claims(iat=int(time.time()) + 2)), ACCESS).sub


def test_an_unsigned_token_is_refused(tokens: Tokens) -> None:
    """`none` is not an algorithm, in any spelling, with or without a signature."""
    refused(tokens, sign(claims(), key="", algorithm="none"))
    for name in ("none", "None", "NONE", "nOnE", "", None, ["HS256"], {"HS256": 1}):
        head = part({"alg": name, "typ": "JWT"})
        refused(tokens, f"{head}.{part(claims())}.")
        refused(tokens, f"{head}.{part(claims())}.{sign(claims()).split('.')[2]}")
    refused(tokens, f"{part({'typ': 'JWT'})}.{part(claims())}.")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused(tokens: Tokens, algorithm: str) -> None:
    """Even one that is as good, with our key."""
    refused(tokens, sign(claims(), algorithm=algorithm))


def test_another_key_is_refused(tokens: Tokens) -> None:
    """A signature of somebody else's is none."""
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
def test_a_header_with_anything_to_say_is_refused(tokens: Tokens, header: dict[str, Any]) -> None:
    """Even under our signature: a token that names its key, or needs to be understood, is not ours."""
    head = {"alg": "HS256", "typ": "JWT"} | header
    signed = f"{part(head)}.{part(claims())}"
    hmac = jwt.get_algorithm_by_name("HS256")
    signature = base64.urlsafe_b64encode(hmac.sign(signed.encode(), hmac.prepare_key(SECRET))).rstrip(b"=").decode()
    refused(tokens, f"{signed}.{signature}")


def test_a_changed_token_is_refused(tokens: Tokens) -> None:
    """Every part of it is under the signature."""
    head, body, signature = sign(claims()).split(".")
    other = part(claims(sub=new_id()))
    refused(tokens, f"{head}.{other}.{signature}")
    refused(tokens, f"{head}.{body}.{signature[:-4]}AAAA")
    refused(tokens, f"{head}.{body}.")
    refused(tokens, f"{head}.{body}")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "x", "a.b.c", "null", "\0", " ", "ế.ế.ế", "\ud800.a.b", "é" * 50, "=.=.="]
)
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    """Without a fault of our own."""
    refused(tokens, token)


def test_a_long_token_is_refused_before_it_is_read(tokens: Tokens) -> None:
    """Decoding these 20 MB would take a second."""
    long = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{'A' * 20_000_000}.x"
    start = time.perf_counter()
    refused(tokens, long)
    assert time.perf_counter() - start < 0.2


def test_deep_json_is_refused(tokens: Tokens) -> None:
    """A header of a thousand brackets is no fault of ours."""
    deep = base64.urlsafe_b64encode(b"[" * 1500).rstrip(b"=").decode()
    refused(tokens, f"{deep}.{part(claims())}.x")
    refused(tokens, f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{deep}.x")


@pytest.fixture
def rotated() -> Tokens:
    """After a change of the secret, and another one before it."""
    return Tokens(SECRET, access_ttl=900, refresh_ttl=3600, also=(FORMER, OLDEST))


@pytest.mark.parametrize("key", [SECRET, FORMER, OLDEST])
def test_each_accepted_secret_makes_a_token_ours(rotated: Tokens, key: str) -> None:
    """The present one as well as those of before."""
    assert USER == rotated.decode(sign(claims(), key), ACCESS).sub


def test_only_the_present_secret_signs(rotated: Tokens, tokens: Tokens) -> None:
    """So what is issued outlives the former ones."""
    assert USER == tokens.decode(rotated.issue(ACCESS, USER, SESSION).text, ACCESS).sub


def test_a_secret_that_is_none_of_them_is_refused(rotated: Tokens) -> None:
    """Several keys are not any key."""
    refused(rotated, sign(claims(), "another secret, and at least 32 bytes long"))
    refused(rotated, f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}.")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_former_secret_has_the_same_one_algorithm(rotated: Tokens, algorithm: str) -> None:
    """And makes no token good that the present one would not."""
    refused(rotated, sign(claims(), FORMER, algorithm))
    refused(rotated, sign(claims(iss="another"), FORMER))
    with pytest.raises(TokenExpired):
        rotated.decode(sign(claims(exp=int(time.time()) - 1), FORMER), ACCESS)
