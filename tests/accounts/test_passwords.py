"""Password hashing: correctness, cost, and not blocking the event loop."""

import asyncio
import threading
import unicodedata
from collections.abc import AsyncIterator

import pytest
from argon2 import Parameters, PasswordHasher, Type, extract_parameters

from service.accounts.passwords import Passwords
from service.common.errors import Unavailable


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(time_cost=1, memory_cost=64)
    yield passwords
    await passwords.close()


async def test_only_the_right_password_matches(passwords: Passwords) -> None:
    password_hash = await passwords.hash("correct horse")
    assert await passwords.verify(password_hash, "correct horse")
    assert not await passwords.verify(password_hash, "Correct horse")
    assert not await passwords.verify(password_hash, "")


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    """Each has its own salt."""
    first, second = await passwords.hash("correct horse"), await passwords.hash("correct horse")
    assert first != second
    assert first.startswith("$argon2id$")


async def test_no_character_of_a_long_password_is_ignored(passwords: Passwords) -> None:
    """The 128th character counts, even after 127 characters of several bytes each."""
    password_hash = await passwords.hash("ế" * 127 + "a")
    assert not await passwords.verify(password_hash, "ế" * 127 + "b")


async def test_passwords_are_compared_in_normalised_form(passwords: Passwords) -> None:
    """A password typed in combining characters equals the same password typed in composed ones."""
    password_hash = await passwords.hash(unicodedata.normalize("NFC", "mật khẩu của tôi"))
    assert await passwords.verify(password_hash, unicodedata.normalize("NFD", "mật khẩu của tôi"))


async def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both verify one hash with the same parameters, so the duration does not reveal whether the user exists."""
    verified: list[Parameters] = []
    verify = PasswordHasher.verify

    def recording_verify(hasher: PasswordHasher, password_hash: str, password: str) -> bool:
        verified.append(extract_parameters(password_hash))
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", recording_verify)
    assert not await passwords.verify(await passwords.hash("correct horse"), "wrong horse")
    assert not await passwords.verify(None, "wrong horse")
    known, unknown = verified
    assert known == unknown


async def test_hashing_does_not_block_the_event_loop(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash waits for the event loop, which could not run if it were blocked."""
    loop_ran = threading.Event()

    def waiting_hash(_: PasswordHasher, password: str) -> str:
        return "a hash" if loop_ran.wait(10) else "the loop was blocked"

    monkeypatch.setattr(PasswordHasher, "hash", waiting_hash)
    hashing = asyncio.create_task(passwords.hash("correct horse"))
    # The task hands the work to the thread pool within one turn of the loop.
    await asyncio.sleep(0)
    loop_ran.set()
    assert "a hash" == await hashing


async def test_the_default_parameters_are_the_owasp_minimum() -> None:
    """Argon2id with 19 MiB, two passes and one lane (OWASP Password Storage Cheat Sheet)."""
    passwords = Passwords()
    password_hash = await passwords.hash("correct horse")
    assert await passwords.verify(password_hash, "correct horse")
    await passwords.close()
    parameters = extract_parameters(password_hash)
    assert (Type.ID, 19 * 1024, 2, 1) == (
        parameters.type,
        parameters.memory_cost,
        parameters.time_cost,
        parameters.parallelism,
    )


async def test_calls_beyond_the_limit_are_refused() -> None:
    """A call beyond `max_waiting` raises Unavailable at once; the others succeed."""
    passwords = Passwords(time_cost=1, memory_cost=64, max_waiting=3)
    results = await asyncio.gather(*(passwords.hash("x") for _ in range(5)), return_exceptions=True)
    assert 2 == sum(isinstance(result, Unavailable) for result in results)
    assert (await passwords.hash("x")).startswith("$argon2id$")
    await passwords.close()


async def test_a_hash_with_other_parameters_is_outdated_but_valid(passwords: Passwords) -> None:
    """After a change of the parameters, users with an old hash can still sign in."""
    stronger = Passwords(time_cost=2, memory_cost=64)
    password_hash = await passwords.hash("correct horse")
    assert await stronger.verify(password_hash, "correct horse")
    assert stronger.outdated(password_hash)
    assert not passwords.outdated(password_hash)
    await stronger.close()
