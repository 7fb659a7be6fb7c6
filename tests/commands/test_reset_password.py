"""`python -m service reset-password`: the old password and all sessions end, and the new one signs in."""

import asyncio
import io

import pytest

from config.settings import Settings
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.conftest import process
from tests.commands.conftest import Command
from tests.commands.test_delete_user import environment
from tests.conftest import SECRET, Run
from tests.protocol.clients import Clients, problem
from tests.protocol.servers import load_contract

__all__ = ["process"]


async def test_a_new_password_ends_every_session(run: Run, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random one, or that of standard input; one that a user could not choose changes nothing."""
    server = run(RATE_LIMITS="off")
    variables = environment(server)

    async def reset(*arguments: str) -> tuple[int, str]:
        return await asyncio.to_thread(command, "reset-password", *arguments, **variables)

    async with Clients(server, load_contract(server)) as clients:
        anna = await clients.user()
        socket = await anna.chat_socket()
        code, output = await reset(anna.username.upper())
        assert 0 == code, output
        assert (1008, "token_revoked") == await socket.closed()
        await anna.expect_error(401, "token_revoked", "GET", "/users/me")
        old = {"username": anna.username, "password": anna.password}
        problem(await clients.call("POST", "/auth/login", json=old), 401, "bad_credentials")
        anna.password = output.splitlines()[-1].removeprefix("New password: ")
        again = await anna.sign_in_again()
        for text, reason in (("short\n", "at least 8 characters"), ("password\n", "refused"), ("", "at least 8")):
            monkeypatch.setattr("sys.stdin", io.StringIO(text))
            code, output = await reset(anna.username, "--stdin")
            assert (1, 1) == (code, output.count("\n"))
            assert reason in output
        await again.get("/users/me")
        anna.password = "một mật khẩu khác"
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{anna.password}\n"))
        code, output = await reset(anna.username, "--stdin")
        assert (0, 1) == (code, output.count("\n"))
        await anna.sign_in_again()


async def test_who_has_no_password_gets_none(settings: Settings, process: AccountsProcess, command: Command) -> None:
    user, _ = await process.external_users.put("auth0|a", {"username": "who.is.external"})
    assert settings.mongodb_uri
    assert settings.redis_url
    variables = {"MONGODB_URI": settings.mongodb_uri, "REDIS_URL": settings.redis_url, "JWT_SECRET": SECRET}
    for username, reason in ((user.profile.username, "signs in at another site"), ("nobody", "no user of that name")):
        code, output = await asyncio.to_thread(command, "reset-password", username, **variables)
        assert (1, 1) == (code, output.count("\n"))
        assert reason in output
