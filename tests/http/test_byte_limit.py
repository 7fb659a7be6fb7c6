"""The limit of bytes that a user may send to others."""

import pytest

from service.common.errors import RateLimited
from service.http.byte_limit import BURST_BYTES, BYTES_PER_SECOND, MAX_USERS, ByteLimit


def test_a_burst_is_allowed_and_then_refills() -> None:
    limit = ByteLimit(enabled=True)
    limit.take("ada", BURST_BYTES // 2)
    limit.take("ada", BURST_BYTES // 2)
    with pytest.raises(RateLimited) as error:
        limit.take("ada", BYTES_PER_SECOND)
    assert 0.9 < (error.value.retry_after or 0) <= 1
    limit.take("bob", BURST_BYTES)


def test_rejected_bytes_are_not_counted() -> None:
    limit = ByteLimit(enabled=True)
    limit.take("ada", BURST_BYTES - 1000)
    for _ in range(10):
        with pytest.raises(RateLimited):
            limit.take("ada", BURST_BYTES)
    limit.take("ada", 1000)


def test_a_user_may_be_in_debt() -> None:
    """Bytes that were counted only after they had been sent delay the next ones."""
    limit = ByteLimit(enabled=True)
    limit.count("ada", BURST_BYTES + 10 * BYTES_PER_SECOND)
    with pytest.raises(RateLimited) as error:
        limit.take("ada", 1)
    assert 9 < (error.value.retry_after or 0) <= 10.1


def test_the_encoded_size_counts() -> None:
    """A control character takes six bytes in JSON, an emoji four."""
    limit = ByteLimit(enabled=True)
    limit.take("ada", BURST_BYTES - 20_000)
    with pytest.raises(RateLimited):
        limit.take_message("ada", "\x01" * 4000)
    limit.take_message("ada", "\N{GRINNING FACE}" * 4000)


def test_the_users_remembered_are_bounded() -> None:
    limit = ByteLimit(enabled=True)
    for n in range(MAX_USERS + 10):
        limit.take(str(n), 1)
    assert MAX_USERS == len(limit._full_at)


def test_it_can_be_switched_off() -> None:
    limit = ByteLimit(enabled=False)
    limit.take("ada", 100 * BURST_BYTES)
    limit.take_message("ada", "x")
