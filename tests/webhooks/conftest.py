"""A receiver for each test, and the secret that it shares with Loa."""

from collections.abc import AsyncIterator

import pytest

from tests.webhooks.receiver import Receiver, receiving

SECRET = "whsec_b25seSBmb3IgdGhlIHRlc3RzLCBub3RoaW5nIGVsc2U="


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(SECRET) as receiver:
        yield receiver
