"""Rate limits by address and by user, which no header can bypass."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import httpx
import pytest

from service.common.errors import RateLimited
from service.edge.frame_handler import MAX_FRAMES_PER_PERIOD
from service.http.limits import (
    PASSWORD_CHANGE,
    PASSWORD_CHANGE_ADDRESS,
    READING,
    REFRESH,
    REPORTING,
    SIGN_IN_ADDRESS,
    WRITING,
    RateLimit,
    RateLimits,
)
from tests.protocol.clients import API, NO_ID, Clients, Json, User
from tests.protocol.contract import Contract
from tests.protocol.test_frames import frame
from tests.running import Server
from tests.security.attack_surface import AttackSurface
from tests.security.scenario import Scenario

LOGIN_LIMIT = 30
REQUESTS = 20
AT_ONCE = 100
OWN_RULE = {
    "DELETE /users/me",
    "POST /attachments",
    "POST /auth/password",
    "POST /auth/password/reset",
    "POST /reports",
    "POST /auth/ticket",
    "POST /conversations/{conversation_id}/messages",
    "POST /conversations/{conversation_id}/invitations",
    "POST /invitations/{token}",
}
"""Write operations with a rule of their own."""
FREE = {"POST /auth/logout", "DELETE /auth/sessions/{session_id}"}
"""Operations that end a session are never limited: the thief of a session must not keep its owner from ending it."""
HEADERS = {
    "X-Forwarded-For": "203.0.113.{n}, 203.0.113.8",
    "X-Real-IP": "203.0.113.{n}",
    "Forwarded": "for=203.0.113.{n}",
    "Client-IP": "203.0.113.{n}",
    "True-Client-IP": "203.0.113.{n}",
    "CF-Connecting-IP": "203.0.113.{n}",
}

Spend = Callable[[RateLimit, str], Awaitable[None]]
"""`spend(limit, key)`: use up the limit as another process of the same deployment would."""


@pytest.fixture
async def spend(strict_redis: str) -> AsyncIterator[Spend]:
    limits = RateLimits(strict_redis, True)

    async def until_refused(limit: RateLimit, key: str) -> None:
        with suppress(RateLimited):
            while True:
                await limits.check(limit, key)

    yield until_refused
    await limits.close()


@pytest.fixture
async def strict(direct: Server, contract: Contract) -> AsyncIterator[Clients]:
    async with Clients(direct, contract) as clients:
        yield clients


async def until_limited(user: User, method: str, path: str, body: Json = None) -> None:
    """Repeat a request that changes nothing, until the server has learnt that the limit is used up.

    Before it compares its count with the other processes', it lets a tenth of the limit through.
    """
    async with asyncio.timeout(20):
        while (await user.call(method, path, body)).status_code != 429:
            pass


async def refresh(server: Server, header: str = "", value: str = "") -> int:
    """Refresh with an invalid token and return the status: 401, or 429 once the address has used up its limit."""
    headers = {header: value} if header else {}
    async with httpx.AsyncClient(base_url=server.url + API, timeout=20) as http:
        return (await http.post("/auth/refresh", json={"refresh_token": "garbage"}, headers=headers)).status_code


async def test_forwarding_headers_are_ignored_without_a_proxy(direct: Server, spend: Spend) -> None:
    """Without a configured proxy the address is the peer's, whatever the request's headers say."""
    assert 401 == await refresh(direct)
    await spend(REFRESH, "127.0.0.1")
    assert 429 == await refresh(direct)
    for header, value in HEADERS.items():
        assert {429} == {await refresh(direct, header, value.format(n=n)) for n in range(1, 5)}, header


async def test_behind_a_proxy_only_its_own_forwarded_entry_counts(proxied: Server, spend: Spend) -> None:
    """The right-most entry is the client's address; entries that the client itself adds before it change nothing."""
    assert 401 == await refresh(proxied, "X-Forwarded-For", "192.0.2.1")
    await spend(REFRESH, "192.0.2.1")
    for n in range(1, REQUESTS):
        assert 429 == await refresh(proxied, "X-Forwarded-For", f"198.51.100.{n}, 192.0.2.1")
    assert 401 == await refresh(proxied, "X-Forwarded-For", "192.0.2.1, 192.0.2.2"), (
        "another address must not be limited"
    )


async def test_a_user_over_the_write_limit_gets_429_on_every_write(
    strict: Clients, attack_surface: AttackSurface, spend: Spend
) -> None:
    """Every write returns 429 before the handler runs, and reads still work."""
    scenario = await Scenario.create(strict)
    before = await scenario.readable_state(attack_surface)
    await spend(WRITING, scenario.anna.id)
    await until_limited(scenario.anna, "PUT", f"/conversations/{NO_ID}/read", {"seq": 1})
    tried = 0
    for operation in [
        operation for operation in attack_surface.rest_operations if not operation.is_read and operation.requires_token
    ]:
        if str(operation) not in FREE | OWN_RULE:
            answer = await scenario.request(scenario.anna, operation)
            assert 429 == answer.status_code, f"{operation} has no limit: {answer.status_code}"
            assert int(answer.headers["Retry-After"]) > 0
            tried += 1
    assert tried > 10
    assert before == await scenario.readable_state(attack_surface)
    await scenario.ben.put(f"/conversations/{scenario.values['conversation_id']}/read", {"seq": 2})
    await scenario.anna.post("/auth/logout")


async def test_a_user_over_the_read_limit_gets_429_on_every_read(
    strict: Clients, attack_surface: AttackSurface, spend: Spend
) -> None:
    """The same for reads; writes still work."""
    anna = await strict.user()
    await spend(READING, anna.id)
    await until_limited(anna, "GET", "/users/me")
    ids = {field.name: anna.id for operation in attack_surface.rest_operations for field in operation.in_path}
    reads = [operation for operation in attack_surface.rest_operations if operation.is_read]
    for operation in [operation for operation in reads if operation.requires_token]:
        assert 429 == (await anna.call("GET", operation.url(ids))).status_code, f"{operation} has no limit"
    await anna.post("/posts", {"content": "still here"})


async def test_a_socket_over_the_frame_limit_closes_with_1008(strict: Clients) -> None:
    """A socket that sends too many frames, valid or not, is closed; other sockets are unaffected."""
    anna, ben = await strict.users(2)
    other = await ben.chat_socket()
    for text, answer in (('{"type": "ping"}', "pong"), ("no frame", "error")):
        socket = await anna.chat_socket()
        for _ in range(MAX_FRAMES_PER_PERIOD // AT_ONCE):
            await asyncio.gather(*(socket.send_raw(text) for _ in range(AT_ONCE)))
            await socket.events(answer, AT_ONCE)
        await socket.send_raw(text)
        assert (1008, "rate_limited") == await socket.closed()
    await other.flush()


@pytest.mark.parametrize(
    "frames",
    [
        [frame(0x89, b"x")],
        [frame(0x8A, b"x")],
        [frame(0x01, b"{}"), *[frame(0x00)] * 200, frame(0x80)],
    ],
    ids=["pings", "pongs", "pieces"],
)
async def test_control_frames_and_fragments_count_toward_the_frame_limit(strict: Clients, frames: list[bytes]) -> None:
    """Pings, pongs and fragments cost processing time, too, so they count toward the limit."""
    anna, ben = await strict.users(2)
    other, socket = await ben.chat_socket(), await anna.chat_socket()
    socket.websocket.transport.write(b"".join(frames) * (MAX_FRAMES_PER_PERIOD // len(frames) + 1))
    assert (1008, "rate_limited") == await socket.closed()
    await other.flush()


async def test_login_answers_do_not_reveal_whether_a_user_exists(strict: Clients) -> None:
    """Failed logins get the same answers, and as many, for existing and unknown usernames."""
    anna = await strict.user()
    results = []
    for name in (anna.username, f"not_{anna.username[:20]}"):
        body = {"username": name, "password": "wrong password"}
        answers = [await strict.call("POST", "/auth/login", json=body) for _ in range(LOGIN_LIMIT + 2)]
        varying = {"x-request-id", "date", "retry-after", "content-length"}
        headers = [{k: v for k, v in answer.headers.items() if k not in varying} for answer in answers]
        results.append(
            [
                # How long to wait depends on when the request came.
                (answer.status_code, re.sub(rb"in \d+ s", b"in a while", answer.content), kept)
                for answer, kept in zip(answers, headers, strict=True)
            ]
        )
    assert results[0] == results[1]
    assert [401] * LOGIN_LIMIT + [429] * 2 == [status for status, _, _ in results[0]]


async def sign_in(server: Server, user: User, address: str, password: str = "", token: str = "") -> int:
    """Sign in through the proxy, which names the client's address; return the status."""
    headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = {"username": user.username, "password": password or user.password}
    async with httpx.AsyncClient(base_url=server.url + API, timeout=20) as http:
        return (await http.post("/auth/login", json=body, headers=headers)).status_code


async def test_wrong_passwords_of_a_stranger_do_not_lock_the_owner_out(proxied: Server, contract: Contract) -> None:
    """Another address signs in meanwhile, and so does a device with an earlier token at the stranger's address."""
    stranger = "203.0.113.77"
    async with Clients(proxied, contract) as clients:
        user = await clients.user()
        statuses = [await sign_in(proxied, user, stranger, "wrong password") for _ in range(LOGIN_LIMIT + 1)]
        assert [401] * LOGIN_LIMIT + [429] == statuses
        assert 429 == await sign_in(proxied, user, stranger)
        assert 200 == await sign_in(proxied, user, "198.51.100.7")
        other = await clients.user()
        assert 429 == await sign_in(proxied, user, stranger, token=other.token)
        await user.post("/auth/logout")
        assert 200 == await sign_in(proxied, user, stranger, token=user.token)
        assert 200 == await sign_in(proxied, user, stranger, token=user.refresh_token)


async def test_a_device_with_a_token_signs_in_although_its_address_has_used_up_its_attempts(
    proxied: Server, contract: Contract, spend: Spend
) -> None:
    """Whatever others at the address have tried, on this account or on any other. Its own attempts are limited."""
    address = "203.0.113.79"
    async with Clients(proxied, contract) as clients:
        user = await clients.user()
        await spend(SIGN_IN_ADDRESS, address)
        assert 429 == await sign_in(proxied, user, address)
        statuses = [await sign_in(proxied, user, address, "wrong password", user.token) for _ in range(LOGIN_LIMIT - 1)]
        assert {401} == set(statuses)
        assert 200 == await sign_in(proxied, user, address, token=user.token)
        assert 429 == await sign_in(proxied, user, address, token=user.token)


async def test_logins_with_a_user_id_as_the_name_do_not_limit_the_user(strict: Clients) -> None:
    """The limit of password changes has keys of its own."""
    user = await strict.user()
    body = {"username": user.id, "password": "wrong password"}
    statuses = [(await strict.call("POST", "/auth/login", json=body)).status_code for _ in range(LOGIN_LIMIT + 1)]
    assert [401] * LOGIN_LIMIT + [429] == statuses
    change = {"current_password": user.password, "new_password": f"{user.password}!"}
    user.take_tokens(await user.post("/auth/password", change))


async def test_password_changes_are_limited_per_user_and_per_address(
    proxied: Server, contract: Contract, spend: Spend
) -> None:
    """Many accounts at one address cannot occupy the hashing for the others."""
    address = "203.0.113.78"
    async with Clients(proxied, contract) as clients:
        anna, ben = await clients.users(2)
        change = {"current_password": "wrong password", "new_password": f"{anna.password}!"}
        await spend(PASSWORD_CHANGE, anna.id)
        await anna.expect_error(429, "rate_limited", "POST", "/auth/password", change)
        await ben.expect_error(401, "bad_credentials", "POST", "/auth/password", change)
        await spend(PASSWORD_CHANGE_ADDRESS, address)
        headers = {"X-Forwarded-For": address}
        await ben.expect_error(429, "rate_limited", "POST", "/auth/password", change, headers=headers)
        await ben.expect_error(401, "bad_credentials", "POST", "/auth/password", change)


async def test_the_password_that_confirms_the_end_of_a_session_is_limited(
    proxied: Server, contract: Contract, spend: Spend
) -> None:
    """As in a password change. Without a password there is no limit."""
    async with Clients(proxied, contract) as clients:
        anna = await clients.user()
        path, body = f"/auth/sessions/{NO_ID}", {"password": "wrong password"}
        await anna.expect_error(401, "bad_credentials", "DELETE", path, body)
        await spend(PASSWORD_CHANGE, anna.id)
        await anna.expect_error(429, "rate_limited", "DELETE", path, body)
        await anna.expect_error(404, "not_found", "DELETE", path)
        # The password that confirms the deletion of the account counts, too.
        await anna.expect_error(429, "rate_limited", "DELETE", "/users/me", body)


async def test_reports_are_limited(strict: Clients, spend: Spend) -> None:
    """Those of others are not affected."""
    anna, ben, cleo = await strict.users(3)
    await spend(REPORTING, anna.id)
    body = {"subject": {"kind": "user", "id": cleo.id}, "reason": "spam"}
    await until_limited(anna, "POST", "/reports", body)
    await anna.expect_error(429, "rate_limited", "POST", "/reports", body)
    await ben.post("/reports", body)
