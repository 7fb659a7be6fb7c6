"""Deleting one's own account: at once for its owner, soon for everything that they have written."""

import asyncio

from tests.protocol.clients import Clients, problem

WITHIN = 30.0
"""Seconds for a deletion, which hardly takes one once the background task has found it."""


async def test_an_account_is_deleted_by_its_password(four_worker_clients: Clients) -> None:
    """Tokens and connections end with the answer; texts and the name go a moment later. What stays for the comments of
    others is empty, and cannot be reported."""
    anna, ben = await four_worker_clients.users(2)
    other_device = await anna.sign_in_again()
    direct = await anna.start_conversation(ben)
    await anna.send_message(direct)
    post, commented = [await anna.create_post() for _ in range(2)]
    await ben.comment(commented)
    await anna.put(f"/users/{ben.id}/block")
    sockets = [await device.chat_socket() for device in (anna, other_device)]
    stream = await anna.stream()
    assert 204 == (await anna.call("DELETE", "/users/me", {"password": anna.password})).status_code
    for socket in sockets:
        assert (1008, "token_revoked") == await socket.closed()
    await stream.closed()
    for device in (anna, other_device):
        await device.expect_error(401, "token_revoked", "GET", "/users/me")
        refresh = {"refresh_token": device.refresh_token}
        problem(await four_worker_clients.call("POST", "/auth/refresh", json=refresh), 401, "token_revoked")
    sign_in = {"username": anna.username, "password": anna.password}
    problem(await four_worker_clients.call("POST", "/auth/login", json=sign_in), 401, "bad_credentials")
    async with asyncio.timeout(WITHIN):
        while not (await ben.get(f"/users/{anna.id}"))["username"].startswith("deleted_"):
            await asyncio.sleep(0.2)
    (message,) = (await ben.get(f"/conversations/{direct}/messages"))["items"]
    assert (True, "") == (message["deleted"], message["content"])
    await ben.expect_error(404, "not_found", "GET", f"/posts/{post}")
    assert "" == (await ben.get(f"/posts/{commented}"))["content"]
    report = {"subject": {"kind": "post", "id": commented}, "reason": "spam"}
    await ben.expect_error(404, "not_found", "POST", "/reports", report)
    assert anna.id != (await four_worker_clients.user(anna.username)).id


async def test_nothing_is_deleted_without_the_right_password(clients: Clients) -> None:
    anna = await clients.user()
    post = await anna.create_post()
    await anna.expect_error(401, "bad_credentials", "DELETE", "/users/me", {"password": f"{anna.password}?"})
    for body in (None, {}, {"password": None}):
        refused = await anna.call("DELETE", "/users/me", body)
        assert ["password"] == [error["field"] for error in problem(refused, 422, "validation_failed")["errors"]]
    await anna.sign_in_again()
    assert anna.id == (await anna.get(f"/posts/{post}"))["author"]["id"]
