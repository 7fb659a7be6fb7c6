"""The account of visits detects what a visitor lacks, what they have too much, and changes that were made twice."""

import random
from pathlib import Path

import pytest

from tests.faults.api_client import ApiClient
from tests.faults.chat_client import Replica
from tests.faults.environment import FaultEnvironment
from tests.faults.group_visits import Group, Visit, Visitor
from tests.faults.ledger import Json, Ledger
from tests.faults.users import User
from tests.faults.visiting_client import VisitingClient

ADA = User("a" * 24, "ada", "", "")
GROUP = Group("c" * 24, [])
STORED = ["text", "joined", "text", "removed", "text", "joined", "text", "left", "text"]


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    """Two visits, in which the visitor has received the message between their beginning and their end."""
    client = VisitingClient(ADA, ApiClient(Ledger(), random.Random(1)), random.Random(1))
    visitor = Visitor(FaultEnvironment(tmp_path, 1), client, [GROUP])
    visitor.visits[GROUP.id] = [Visit(1, {"3"}, 3, "removed"), Visit(5, {"7"}, 7, "left")]
    client.seen[GROUP.id] = {"3", "7"}
    return visitor


def stored(kinds: list[str]) -> list[Json]:
    users = {"removed": [ADA.id], "joined": [ADA.id]}
    return [
        {
            "id": str(seq),
            "seq": seq,
            "kind": kind,
            "event": {"by": ADA.id} | ({"user_ids": users[kind]} if kind in users else {}),
        }
        for seq, kind in enumerate(kinds, 1)
    ]


def test_visits_without_a_problem(visitor: Visitor) -> None:
    assert [] == list(visitor.problems(GROUP, stored(STORED)))


def test_a_missing_message_is_found(visitor: Visitor) -> None:
    visitor.visits[GROUP.id][1].received.clear()
    (problem,) = visitor.problems(GROUP, stored(STORED))
    assert problem.endswith("has not received [7]")


@pytest.mark.parametrize("seq", [1, 5, 9])
def test_a_message_from_outside_of_the_visits_is_found(visitor: Visitor, seq: int) -> None:
    """From before the first one, from in between, and from after the last one."""
    visitor.client.seen[GROUP.id].add(str(seq))
    (problem,) = visitor.problems(GROUP, stored(STORED))
    assert problem.endswith(f"has received [{seq}]")


@pytest.mark.parametrize(("before", "after"), [("joined", "text"), ("left", "joined"), ("text", "left")])
def test_a_change_that_was_lost_or_made_twice_is_found(visitor: Visitor, before: str, after: str) -> None:
    kinds = list(STORED)
    kinds[kinds.index(before)] = after
    (problem,) = visitor.problems(GROUP, stored(kinds))
    assert problem.startswith("ada's visits: ['joined', 'removed', 'joined', 'left'], system messages: ")


def test_who_stays_has_everything(visitor: Visitor) -> None:
    visitor.visits[GROUP.id][1].end = ""
    replica = visitor.client.replicas[GROUP.id] = Replica()
    replica.messages = {"7": "", "8": ""}
    kinds = ["text" if kind == "left" else kind for kind in STORED]
    (problem,) = visitor.problems(GROUP, stored(kinds))
    assert problem.endswith("has not received [9]")
    replica.messages["9"] = ""
    assert [] == list(visitor.problems(GROUP, stored(kinds)))
