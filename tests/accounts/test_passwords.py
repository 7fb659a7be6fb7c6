"""Passwords are told apart, slowly, and off the event loop."""

import asyncio
import time
import unicodedata
from collections.abc import AsyncIterator
from statistics import median

import pytest

from service.accounts.passwords import Passwords
from service.common.errors import Unavailable


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    one = Passwords(time_cost=1, memory_cost=64)
    yield one
    await one.close()


async def test_the_right_password_is_told_from_a_wrong_one(passwords: Passwords) -> None:
    """The same password matches; another, or another case of it, does not."""
    kept = await passwords.hash("correct horse")
    assert await passwords.verify(kept, "correct horse")
    assert not await passwords.verify(kept, "Correct horse")
    assert not await passwords.verify(kept, "")


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    """Each has its own salt, and is Argon2id."""
    first, second = await passwords.hash("correct horse"), await passwords.hash("correct horse")
    assert first != second
    assert first.startswith("$argon2id$")


async def test_all_of_a_long_password_counts(passwords: Passwords) -> None:
    """The 128th character does, and so does what follows a letter of several bytes."""
    kept = await passwords.hash("ế" * 127 + "a")
    assert not await passwords.verify(kept, "ế" * 127 + "b")


async def test_the_keyboard_does_not_matter(passwords: Passwords) -> None:
    """A password typed in combining characters is the one typed in composed ones."""
    kept = await passwords.hash(unicodedata.normalize("NFC", "mật khẩu của tôi"))
    assert await passwords.verify(kept, unicodedata.normalize("NFD", "mật khẩu của tôi"))


async def test_nobody_has_no_password_and_takes_as_long() -> None:
    """Whether somebody exists cannot be told by the clock."""
    passwords = Passwords(time_cost=2, memory_cost=8 * 1024)
    kept = await passwords.hash("correct horse")

    async def seconds(password_hash: str | None) -> float:
        start = time.perf_counter()
        assert not await passwords.verify(password_hash, "wrong horse")
        return time.perf_counter() - start

    somebody = [await seconds(kept) for _ in range(9)]
    nobody = [await seconds(None) for _ in range(9)]
    await passwords.close()
    assert 0.5 < median(nobody) / median(somebody) < 2


async def test_the_event_loop_goes_on_meanwhile() -> None:
    """While one password is hashed, the loop takes many turns."""
    passwords = Passwords(time_cost=4, memory_cost=16 * 1024)
    work = asyncio.ensure_future(passwords.hash("correct horse"))
    turns = 0
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    await passwords.close()
    assert turns > 20


async def test_the_waiting_line_is_bounded() -> None:
    """Whoever comes when it is full is told so at once, and the others are served."""
    passwords = Passwords(time_cost=1, memory_cost=64, max_waiting=3)
    results = await asyncio.gather(*(passwords.hash("x") for _ in range(5)), return_exceptions=True)
    assert 2 == sum(isinstance(result, Unavailable) for result in results)
    assert (await passwords.hash("x")).startswith("$argon2id$")
    await passwords.close()


async def test_a_hash_of_other_parameters_is_outdated_but_good(passwords: Passwords) -> None:
    """When the parameters change, those who have an old hash still get in."""
    stronger = Passwords(time_cost=2, memory_cost=64)
    kept = await passwords.hash("correct horse")
    assert await stronger.verify(kept, "correct horse")
    assert stronger.outdated(kept)
    assert not passwords.outdated(kept)
    await stronger.close()
