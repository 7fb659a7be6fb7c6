"""The account itself: it has to notice what must not be."""

import random
from typing import Any

import pytest

from tests.faults.account import Account
from tests.faults.chat import ChatClient
from tests.faults.front import Front
from tests.faults.people import Person

HERE = "c" * 24


@pytest.fixture
async def client() -> ChatClient:
    """One that has been let in, and has everything up to rev 2."""
    client = ChatClient(Person("a" * 24, "ada", "", ""), Front(Account(), random.Random(1)), random.Random(1))
    await client._take({"type": "hello", "conversations": [{"conversation_id": HERE, "last_rev": 2}]})
    await client._take(sync([1, 2]))
    return client


def live(rev: int) -> dict[str, Any]:
    return {"type": "new_message", "conversation_id": HERE, "data": message(rev)}


def sync(revs: list[int], *, complete: bool = True) -> dict[str, Any]:
    data = {"messages": [message(rev) for rev in revs], "last_rev": revs[-1], "complete": complete}
    return {"type": "sync", "conversation_id": HERE, "data": data}


def message(rev: int) -> dict[str, Any]:
    return {"id": f"{rev:024x}", "rev": rev, "seq": rev, "nonce": f"n{rev}", "content": "hello"}


async def test_what_comes_in_order_is_received(client: ChatClient) -> None:
    """And what was asked for is fetched."""
    for rev in (3, 4):
        await client._take(live(rev))
    line = client.account.messages
    assert (4, 2, 2) == (client.rev(HERE), line.received, line.fetched)
    client.account.check()


@pytest.mark.parametrize(("revs", "what"), [((3, 3), "doubled"), ((4, 3), "doubled"), ((3, 5), "silent")])
async def test_twice_out_of_order_or_with_a_hole_is_noticed(
    client: ChatClient, revs: tuple[int, ...], what: str
) -> None:
    """Where nobody has said that something is missing."""
    for rev in revs:
        await client._take(live(rev))
    assert getattr(client.account.messages, what)
    with pytest.raises(AssertionError, match=what):
        client.account.check()


async def test_a_hole_that_was_announced_is_none(client: ChatClient) -> None:
    """What comes before the answer waits for it; what the answer has, too, is an overlap."""
    await client._take({"type": "reset", "data": {"reason": "bus_interrupted"}})
    for rev in (5, 6):
        await client._take(live(rev))
    assert 2 == client.rev(HERE)
    await client._take(sync([3, 4, 5]))
    line = client.account.messages
    assert (6, 1, 5) == (client.rev(HERE), line.received, line.fetched)
    client.account.check()


async def test_one_nonce_with_two_messages_is_noticed(client: ChatClient) -> None:
    """However the second came about."""
    for id in ("1" * 24, "1" * 24, "2" * 24):
        client.account.messages.acknowledge("n1", id)
    with pytest.raises(AssertionError, match="doubled"):
        client.account.check()


@pytest.mark.parametrize(("status", "hint"), [(500, None), (503, None), (403, "1")])
async def test_a_refusal_that_is_no_later_is_noticed(client: ChatClient, status: int, hint: str | None) -> None:
    """A client in trouble may be told when to try again, and nothing else."""
    client.front.refusal(status, hint)
    with pytest.raises(AssertionError, match=str(status)):
        client.account.check()
