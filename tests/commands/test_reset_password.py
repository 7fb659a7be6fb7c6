"""`python -m service reset-password`: a link with which a user chooses a new password, once and within an hour."""

import asyncio

import httpx
import pytest

from config.settings import Settings
from service.accounts.models import PasswordReset, SignedIn
from service.accounts.reset_links import LIFETIME, ResetLink, ResetToken
from service.common.errors import Banned, TokenInvalid
from service.common.times import now
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.conftest import process, signed_in
from tests.commands.conftest import Command
from tests.commands.test_delete_user import environment
from tests.conftest import SECRET, Run
from tests.protocol.clients import Clients, User, problem
from tests.protocol.servers import load_contract

__all__ = ["process", "signed_in"]

PATH = "/auth/password/reset"
PASSWORD = "một mật khẩu khác"


async def test_a_link_is_good_once_and_ends_every_session(run: Run, command: Command) -> None:
    """A newer link, and a change of the password, end an earlier one. What is refused changes nothing."""
    server = run(RATE_LIMITS="off")

    async def link(user: User, *arguments: str) -> str:
        code, output = await asyncio.to_thread(
            command, "reset-password", user.username.upper(), *arguments, **environment(server)
        )
        assert (0, 1) == (code, output.count("\n")), output
        return output.strip()

    async with Clients(server, load_contract(server)) as clients:

        async def use(link: str, password: str = PASSWORD) -> httpx.Response:
            return await clients.call("POST", PATH, json={"token": link.split("/")[-1], "new_password": password})

        anna, ben = await clients.user(), await clients.user()
        assert (await link(ben, "--origin", "https://chat.example.org/")).startswith(
            "https://chat.example.org/#/reset/"
        )
        socket = await anna.chat_socket()
        ended = await link(anna)
        newer = await link(anna)
        problem(await use(ended), 401, "token_invalid")
        for weak in ("short", "password"):
            problem(await use(newer, weak), 422, "validation_failed")
        await anna.get("/users/me")
        answer = await use(newer)
        assert (200, anna.id) == (answer.status_code, answer.json()["user"]["id"])
        assert (1008, "token_revoked") == await socket.closed()
        await anna.expect_error(401, "token_revoked", "GET", "/users/me")
        problem(await use(newer), 401, "token_invalid")
        anna.take_tokens(answer.json())
        await anna.get("/users/me")
        old = {"username": anna.username, "password": anna.password}
        problem(await clients.call("POST", "/auth/login", json=old), 401, "bad_credentials")
        anna.password = PASSWORD
        again = await anna.sign_in_again()
        await ben.get("/users/me")

        unused = await link(anna)
        change = {"current_password": PASSWORD, "new_password": "yet another password"}
        again.take_tokens(await again.post("/auth/password", change))
        problem(await use(unused), 401, "token_invalid")
        await again.get("/users/me")


@pytest.mark.parametrize("token", ["x", f"{'0' * 24}.{'x' * 43}", f"{'0' * 24}.", "x" * 4000, "\u0000", "é"])
async def test_an_invented_token_is_refused(process: AccountsProcess, token: str) -> None:
    with pytest.raises(TokenInvalid):
        await process.accounts.reset_password(PasswordReset(token=token, new_password=PASSWORD))


async def test_a_link_expires_and_does_not_end_a_ban(process: AccountsProcess, signed_in: SignedIn) -> None:
    token = ResetToken.new(signed_in.user.id)
    await process.users.set_reset_link(signed_in.user.id, ResetLink(token.digest, now() + LIFETIME))
    reset = PasswordReset(token=str(token), new_password=PASSWORD)
    with process.clock.shifted(LIFETIME), pytest.raises(TokenInvalid):
        await process.accounts.reset_password(reset)
    await process.users.set_ban(signed_in.user.id, None)
    with pytest.raises(Banned):
        await process.accounts.reset_password(reset)
    await process.users.lift_ban(signed_in.user.id)
    assert signed_in.user.id == (await process.accounts.reset_password(reset)).user.id


async def test_nobody_signs_in_with_the_link_of_a_user_whose_deletion_has_begun(
    process: AccountsProcess, signed_in: SignedIn
) -> None:
    token = ResetToken.new(signed_in.user.id)
    await process.users.set_reset_link(signed_in.user.id, ResetLink(token.digest, now() + LIFETIME))
    await process.users.request_deletion(signed_in.user.id)
    with pytest.raises(TokenInvalid):
        await process.accounts.reset_password(PasswordReset(token=str(token), new_password=PASSWORD))


async def test_who_has_no_password_gets_none(settings: Settings, process: AccountsProcess, command: Command) -> None:
    user, _ = await process.external_users.put("auth0|a", {"username": "who.is.external"})
    assert settings.mongodb_uri
    assert settings.redis_url
    variables = {"MONGODB_URI": settings.mongodb_uri, "REDIS_URL": settings.redis_url, "JWT_SECRET": SECRET}
    for username, reason in ((user.profile.username, "signs in at another site"), ("nobody", "no user of that name")):
        code, output = await asyncio.to_thread(command, "reset-password", username, **variables)
        assert (1, 1) == (code, output.count("\n"))
        assert reason in output
