"""The client of a visitor accepts gaps at the beginning and the end of a stay, and no others."""

import random

import pytest

from tests.faults.api_client import ApiClient
from tests.faults.ledger import Ledger
from tests.faults.test_ledger import CONVERSATION, live, sync
from tests.faults.users import User
from tests.faults.visiting_client import VisitingClient

REMOVED = {"type": "conversation_removed", "conversation_id": CONVERSATION}


@pytest.fixture
async def client() -> VisitingClient:
    """A client whose user has joined a conversation, and has got the first message since."""
    client = VisitingClient(User("a" * 24, "ada", "", ""), ApiClient(Ledger(), random.Random(1)), random.Random(1))
    await client._on_event({"type": "hello", "conversations": []})
    client.joined.add(CONVERSATION)
    await client._on_event(live(7))
    await client._on_event(sync([7]))
    return client


def updated(last_rev: int) -> dict[str, object]:
    return {"type": "conversation_updated", "conversation_id": CONVERSATION, "data": {"last_rev": last_rev}}


async def test_what_is_missing_before_the_announcement_is_fetched(client: VisitingClient) -> None:
    await client._on_event(live(9))
    await client._on_event(updated(9))
    await client._on_event(sync([8, 9]))
    assert 9 == client.rev(CONVERSATION)
    client.ledger.check()


async def test_a_gap_after_the_announcement_is_a_violation(client: VisitingClient) -> None:
    await client._on_event(updated(7))
    await client._on_event(live(9))
    with pytest.raises(AssertionError, match="silent"):
        client.ledger.check()


async def test_a_gap_before_the_removal_is_none(client: VisitingClient) -> None:
    await client._on_event(updated(7))
    client.joined.discard(CONVERSATION)
    client.leaving.add(CONVERSATION)
    await client._on_event(live(9))
    await client._on_event(REMOVED)
    assert CONVERSATION not in client.replicas
    client.ledger.check()


async def test_a_late_answer_that_the_user_is_out_does_not_end_the_next_stay(client: VisitingClient) -> None:
    await client._on_event(updated(7))
    await client._on_event(REMOVED)
    await client._on_event(sync([7, 8]))
    assert 8 == client.rev(CONVERSATION)
    assert {f"{7:024x}", f"{8:024x}"} == client.seen[CONVERSATION]
