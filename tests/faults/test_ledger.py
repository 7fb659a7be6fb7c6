"""The ledger and the clients detect lost, duplicated and silently missed messages."""

import random
from typing import Any

import pytest

from tests.faults.api_client import ApiClient
from tests.faults.chat_client import ChatClient
from tests.faults.ledger import Ledger
from tests.faults.users import User

CONVERSATION = "c" * 24


@pytest.fixture
async def client() -> ChatClient:
    """A connected client that has everything up to rev 2."""
    client = ChatClient(User("a" * 24, "ada", "", ""), ApiClient(Ledger(), random.Random(1)), random.Random(1))
    await client._on_event({"type": "hello", "conversations": [{"conversation_id": CONVERSATION, "last_rev": 2}]})
    await client._on_event(sync([1, 2]))
    return client


def live(rev: int) -> dict[str, Any]:
    return {"type": "new_message", "conversation_id": CONVERSATION, "data": message(rev)}


def sync(revs: list[int], *, complete: bool = True) -> dict[str, Any]:
    data = {"messages": [message(rev) for rev in revs], "last_rev": revs[-1], "complete": complete}
    return {"type": "sync", "conversation_id": CONVERSATION, "data": data}


def message(rev: int) -> dict[str, Any]:
    return {"id": f"{rev:024x}", "rev": rev, "seq": rev, "nonce": f"n{rev}", "content": "hello"}


async def test_messages_in_order_are_received(client: ChatClient) -> None:
    """Live messages count as received, those of a sync as fetched."""
    for rev in (3, 4):
        await client._on_event(live(rev))
    deliveries = client.ledger.messages
    assert (4, 2, 2) == (client.rev(CONVERSATION), deliveries.received, deliveries.fetched)
    client.ledger.check()


@pytest.mark.parametrize(("revs", "what"), [((3, 3), "doubled"), ((4, 3), "doubled"), ((3, 5), "silent")])
async def test_duplicates_wrong_order_and_gaps_are_violations(
    client: ChatClient, revs: tuple[int, ...], what: str
) -> None:
    """Without a reset before, these are violations."""
    for rev in revs:
        await client._on_event(live(rev))
    assert getattr(client.ledger.messages, what)
    with pytest.raises(AssertionError, match=what):
        client.ledger.check()


async def test_a_gap_after_a_reset_is_allowed(client: ChatClient) -> None:
    """Live messages that arrive before the sync wait for it; those that the sync contains, too, count as overlap."""
    await client._on_event({"type": "reset", "data": {"reason": "bus_interrupted"}})
    for rev in (5, 6):
        await client._on_event(live(rev))
    assert 2 == client.rev(CONVERSATION)
    await client._on_event(sync([3, 4, 5]))
    deliveries = client.ledger.messages
    assert (6, 1, 5) == (client.rev(CONVERSATION), deliveries.received, deliveries.fetched)
    client.ledger.check()


async def test_one_nonce_with_two_ids_is_a_violation(client: ChatClient) -> None:
    """A second id for the same nonce is a violation."""
    for id in ("1" * 24, "1" * 24, "2" * 24):
        client.ledger.messages.acknowledge("n1", id)
    with pytest.raises(AssertionError, match="doubled"):
        client.ledger.check()


@pytest.mark.parametrize(("status", "hint"), [(500, None), (503, None), (403, "1")])
async def test_a_refusal_without_retry_hint_is_a_violation(client: ChatClient, status: int, hint: str | None) -> None:
    """Only 429 and 503 with Retry-After are allowed."""
    client.api.record_refusal(status, hint)
    with pytest.raises(AssertionError, match=str(status)):
        client.ledger.check()
