"""Common passwords are refused, quickly; others are accepted."""

import time

import pytest

from service.accounts.models import PasswordChange, Register
from service.accounts.password_strength import weakness
from service.common.errors import FieldError, ValidationFailed
from service.common.identity import Identity
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.conftest import PASSWORD


@pytest.mark.parametrize(
    "password",
    [
        *("password", "PASSWORD", "password1", "12345678", "11111111", "qwertyuiop", "iloveyou", "trustno1"),
        *("an.nguyen", "AN.NGUYEN", "neyugn.na", "abcdefgh", "aaaaaaaa", "        ", "x" * 128, "password" * 16),
    ],
)
def test_a_common_password_is_refused(password: str) -> None:
    """Also the username, backwards too, and repetitions."""
    assert weakness(password, "an.nguyen")


@pytest.mark.parametrize(
    "password",
    ["correct horse", "battery staple", "mật khẩu dài", "an.nguyen lives here", "xK9#mQ2$", "ế" * 8 + "quậy"],
)
def test_another_password_is_accepted(password: str) -> None:
    assert weakness(password, "an.nguyen") is None


@pytest.mark.parametrize("password", ["4@8({[<369&#!1/|0$5+7%2" * 5, "@$0!1|7+(" * 14, "1|7!" * 32, "a@1!" * 32])
def test_the_time_that_a_password_takes_is_bounded(password: str) -> None:
    """With all of its signs read as letters in every way, the first would take 8 seconds."""
    weakness("to load the dictionaries", "")
    started = time.thread_time()
    weakness(password, "an.nguyen")
    assert time.thread_time() - started < 1


async def test_registering_with_a_common_password_is_refused(process: AccountsProcess) -> None:
    """The error names the field and the reason, and no user is created."""
    for password in ("password1", "an.nguyen"):
        with pytest.raises(ValidationFailed) as caught:
            await process.accounts.register(Register(username="an.nguyen", password=password), "")
        ((field, message),) = caught.value.fields
        assert "password" == field
        assert "Choose another password" in message
    assert await process.accounts.register(Register(username="an.nguyen", password=PASSWORD), "")


async def test_changing_to_a_common_password_is_refused(process: AccountsProcess, caller: Identity) -> None:
    """The session, its tokens and the password stay as they are."""
    change = PasswordChange(current_password=PASSWORD, new_password="an.nguyen")
    with pytest.raises(ValidationFailed) as caught:
        await process.accounts.change_password(caller, change)
    assert isinstance(caught.value.fields[0], FieldError)
    assert "new_password" == caught.value.fields[0].field
    await process.revocation.check(caller)
