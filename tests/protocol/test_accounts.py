"""Registration, sign-in, token refresh, sign-out, change of password, sessions."""

import asyncio
import time
from uuid import uuid4

import jwt
import pytest

from tests.conftest import SECRET
from tests.protocol.clients import PASSWORD_MARK, Clients, Json, is_id, is_time, problem

SIGNED_IN = {"user", "access_token", "refresh_token", "token_type", "expires_in"}
PROFILE = {"id", "username", "display_name", "avatar"}


async def test_registering_returns_a_profile_and_a_pair_of_tokens(clients: Clients) -> None:
    body = {"username": "Nguyễn".encode("ascii", "ignore").decode() + ".A_1", "password": PASSWORD_MARK}
    answer = await clients.call("POST", "/auth/register", json=body | {"display_name": "  Nguyễn Ăn "})
    assert 201 == answer.status_code
    assert "application/json" == answer.headers["content-type"]
    signed_in = answer.json()
    assert SIGNED_IN == set(signed_in)
    assert ("bearer", 900) == (signed_in["token_type"], signed_in["expires_in"])
    user = signed_in["user"]
    assert PROFILE == set(user)
    assert is_id(user["id"])
    assert body["username"].lower() == user["username"], "case folded"
    assert ("Nguyễn Ăn", None) == (user["display_name"], user["avatar"])
    me = await clients.call("GET", "/users/me", headers={"Authorization": f"Bearer {signed_in['access_token']}"})
    assert {**user, "show_presence": True, "roles": []} == me.json()


async def test_both_tokens_are_jwts_with_the_documented_claims(clients: Clients) -> None:
    anna = await clients.user()
    for token, scope, lifetime in (
        (anna.token, "access_token", 900),
        (anna.refresh_token, "refresh_token", 30 * 86400),
    ):
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_aud": False, "verify_iss": False})
        assert {"sub", "sid", "jti", "scope", "iat", "exp", "iss"} == set(claims)
        assert (anna.id, scope) == (claims["sub"], claims["scope"])
        assert lifetime == claims["exp"] - claims["iat"]
        assert abs(time.time() - claims["iat"]) < 30


async def test_a_username_in_use_is_rejected_in_any_case(clients: Clients) -> None:
    """The account that has it does not change."""
    anna = await clients.user()
    body = {"username": anna.username.upper(), "password": PASSWORD_MARK}
    problem(await clients.call("POST", "/auth/register", json=body), 409, "username_taken")
    await anna.sign_in_again()


async def test_of_ten_concurrent_registrations_of_a_username_one_succeeds(any_clients: Clients) -> None:
    body = {"username": f"same.{uuid4().hex[:20]}", "password": PASSWORD_MARK}
    answers = await asyncio.gather(*(any_clients.call("POST", "/auth/register", json=body) for _ in range(10)))
    assert [201] + [409] * 9 == sorted(answer.status_code for answer in answers)


async def test_sign_in_ignores_the_case_of_the_username_and_starts_another_session(clients: Clients) -> None:
    anna = await clients.user()
    body = {"username": anna.username.upper(), "password": anna.password}
    answer = await clients.call("POST", "/auth/login", json=body)
    assert 200 == answer.status_code
    assert SIGNED_IN == set(answer.json())
    assert anna.profile == answer.json()["user"]


async def test_a_wrong_username_and_a_wrong_password_get_the_same_answer(clients: Clients) -> None:
    anna = await clients.user()
    wrong_password = await clients.call(
        "POST", "/auth/login", json={"username": anna.username, "password": "wrong-one"}
    )
    wrong_name = await clients.call("POST", "/auth/login", json={"username": "nobody.here", "password": anna.password})
    assert problem(wrong_password, 401, "bad_credentials") == problem(wrong_name, 401, "bad_credentials")


async def test_a_refresh_returns_new_tokens_of_the_same_session(clients: Clients) -> None:
    """The previous access token stays valid."""
    anna = await clients.user()
    before = anna.token, anna.refresh_token
    answer = await clients.call("POST", "/auth/refresh", json={"refresh_token": anna.refresh_token})
    assert 200 == answer.status_code
    assert SIGNED_IN == set(answer.json())
    assert anna.profile == answer.json()["user"]
    anna.take_tokens(answer.json())
    assert anna.token != before[0]
    assert anna.refresh_token != before[1]
    assert 1 == len((await anna.get("/auth/sessions"))["items"])
    await anna.get("/users/me")


async def refresh(clients: Clients, token: str) -> Json:
    answer = await clients.call("POST", "/auth/refresh", json={"refresh_token": token})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_refresh_whose_response_was_lost_can_be_repeated(any_clients: Clients) -> None:
    """The old refresh token works again, also eight times concurrently, and every pair that it returns is valid."""
    anna = await any_clients.user()
    pairs = await asyncio.gather(*(refresh(any_clients, anna.refresh_token) for _ in range(8)))
    assert 8 == len({pair["refresh_token"] for pair in pairs})
    pairs.append(await refresh(any_clients, anna.refresh_token))
    for pair in pairs:
        anna.take_tokens(pair)
        await anna.get("/users/me")
    # The next generation: tabs that each hold another of these pairs refresh at once.
    for pair in await asyncio.gather(*(refresh(any_clients, pair["refresh_token"]) for pair in pairs)):
        anna.take_tokens(pair)
        await anna.get("/users/me")
    assert 1 == len((await anna.get("/auth/sessions"))["items"])


async def test_a_refresh_token_whose_successor_was_used_ends_the_session(clients: Clients) -> None:
    """Used again, it revokes the session with its tokens, sockets and streams, and no other session."""
    anna = await clients.user()
    other = await anna.sign_in_again()
    first = anna.refresh_token
    await anna.refresh()
    await anna.refresh()
    socket, elsewhere = await anna.chat_socket(), await other.chat_socket()
    again = await clients.call("POST", "/auth/refresh", json={"refresh_token": first})
    problem(again, 401, "token_revoked")
    assert (1008, "token_revoked") == await socket.closed()
    await anna.expect_error(401, "token_revoked", "GET", "/users/me")
    newer = await clients.call("POST", "/auth/refresh", json={"refresh_token": anna.refresh_token})
    problem(newer, 401, "token_revoked")
    await other.get("/users/me")
    await elsewhere.flush()


async def test_logout_ends_this_session_on_every_connection_and_no_other_session(clients: Clients) -> None:
    anna = await clients.user()
    other = await anna.sign_in_again()
    socket, notifications, stream = await anna.chat_socket(), await anna.notification_socket(), await anna.stream()
    elsewhere = await other.chat_socket()
    answer = await anna.call("POST", "/auth/logout")
    assert (204, b"") == (answer.status_code, answer.content)
    assert (1008, "token_revoked") == await socket.closed()
    assert (1008, "token_revoked") == await notifications.closed()
    await stream.closed()
    await anna.expect_error(401, "token_revoked", "GET", "/users/me")
    problem(
        await clients.call("POST", "/auth/refresh", json={"refresh_token": anna.refresh_token}), 401, "token_revoked"
    )
    await elsewhere.flush()
    await other.get("/users/me")


async def test_a_password_change_ends_every_other_session(clients: Clients) -> None:
    """Its session continues with a new pair of tokens, and only the new password signs in."""
    anna = await clients.user()
    other = await anna.sign_in_again()
    here, there = await anna.chat_socket(), await other.chat_socket()
    body = {"current_password": anna.password, "new_password": f"{PASSWORD_MARK}-new"}
    answer = await anna.call("POST", "/auth/password", body)
    assert 200 == answer.status_code
    assert SIGNED_IN == set(answer.json())
    assert anna.profile == answer.json()["user"]
    assert (1008, "token_revoked") == await there.closed()
    await other.expect_error(401, "token_revoked", "GET", "/users/me")
    problem(
        await clients.call("POST", "/auth/refresh", json={"refresh_token": other.refresh_token}), 401, "token_revoked"
    )
    await here.flush()
    await anna.expect_error(401, "token_revoked", "GET", "/users/me")
    earlier = await clients.call("POST", "/auth/refresh", json={"refresh_token": anna.refresh_token})
    problem(earlier, 401, "token_revoked")
    anna.take_tokens(answer.json())
    await anna.get("/users/me")
    await here.request("authenticate", token=anna.token)
    await anna.refresh()
    assert 1 == len((await anna.get("/auth/sessions"))["items"])
    old = await clients.call("POST", "/auth/login", json={"username": anna.username, "password": anna.password})
    problem(old, 401, "bad_credentials")
    anna.password = body["new_password"]
    await anna.sign_in_again()


async def test_a_password_change_requires_the_current_password(clients: Clients) -> None:
    anna = await clients.user()
    other = await anna.sign_in_again()
    body = {"current_password": "not-this-one", "new_password": f"{PASSWORD_MARK}-new"}
    await anna.expect_error(401, "bad_credentials", "POST", "/auth/password", body)
    await other.get("/users/me")
    await anna.sign_in_again()


async def test_sessions_are_listed_and_can_be_ended_from_another_session(clients: Clients) -> None:
    """The list has the times of each, and marks the one that asks."""
    anna = await clients.user()
    other = await anna.sign_in_again()
    socket = await other.chat_socket()
    page = await anna.get("/auth/sessions")
    assert 2 == len(page["items"])
    for session in page["items"]:
        assert is_id(session["id"])
        assert is_time(session["created_at"])
        assert is_time(session["last_used_at"])
    (theirs,) = (session["id"] for session in page["items"] if not session["current"])
    assert None is await anna.delete(f"/auth/sessions/{theirs}")
    assert (1008, "token_revoked") == await socket.closed()
    await other.expect_error(401, "token_revoked", "GET", "/users/me")
    assert [True] == [session["current"] for session in (await anna.get("/auth/sessions"))["items"]]
    await anna.expect_error(404, "not_found", "DELETE", f"/auth/sessions/{theirs}")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
async def test_the_authentication_scheme_is_case_insensitive(clients: Clients, scheme: str) -> None:
    """RFC 9110, 11.1."""
    anna = await clients.user()
    answer = await clients.call("GET", "/users/me", headers={"Authorization": f"{scheme} {anna.token}"})
    assert 200 == answer.status_code
