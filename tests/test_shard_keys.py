"""The check that every command of the service can be routed to the shards concerned."""

import re
from typing import Any

import pytest
from bson import ObjectId

from service.datastores.find_by_ids import find_by_ids, find_in_lists
from service.datastores.mongo import Mongo
from tests.conftest import SHARD_KEY_CHECK
from tests.running import ROOT
from tests.shard_keys import MOVED, SCATTERS, SHARD_KEYS, UNSHARDED, problems_of

ONE, OTHER = ObjectId(), ObjectId()


def test_every_collection_is_listed_once() -> None:
    """With its shard key, or with the reason why it is not sharded."""
    assert not SHARD_KEYS.keys() & UNSHARDED.keys()
    code = "".join(path.read_text() for path in (ROOT / "service").glob("**/*.py"))
    # `health` is a question to an embedded server.
    assert set(re.findall(r"database\[\"([\w.]+)\"\]", code)) <= {*SHARD_KEYS, *UNSHARDED, "health"}


def test_the_runbook_has_every_collection() -> None:
    """Those of which the queries are still being moved stay unsharded until then."""
    runbook = (ROOT / "config/README.md").read_text().split("### Shard MongoDB")[1].split("\n### ")[0]
    sharded = dict(re.findall(r'sh\.shardCollection\("loa\.([\w.]+)", \{(\w+): "hashed"\}\)', runbook))
    unsharded = {scatter.collection for scatter in MOVED} | UNSHARDED.keys()
    assert {name: key for name, key in SHARD_KEYS.items() if name not in unsharded} == sharded
    assert unsharded == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", runbook, re.MULTILINE))))


async def test_a_command_of_the_service_without_the_shard_key_is_found(mongo: Mongo) -> None:
    """One with it is not, nor is a command of a test."""
    await find_in_lists(mongo.database["messages"], "conversation_id", [(ONE, OTHER)])
    await mongo.database["messages"].find({"_id": ONE}).to_list(None)
    assert [] == SHARD_KEY_CHECK.problems
    await find_by_ids(mongo.database["messages"], [ONE])
    assert ["messages: find by {_id $in}, without conversation_id"] == SHARD_KEY_CHECK.problems
    SHARD_KEY_CHECK.problems.clear()


ROUTED: list[dict[str, Any]] = [
    {"find": "messages", "filter": {"_id": ONE, "conversation_id": ONE}},
    {"find": "messages", "filter": {"conversation_id": {"$in": [ONE, OTHER]}}},
    {"find": "messages", "filter": {"$and": [{"seq": 1}, {"conversation_id": ONE}]}},
    {"find": "messages", "filter": {"$or": [{"conversation_id": ONE}, {"conversation_id": OTHER}]}},
    {"find": "posts", "filter": {}},
    {"update": "inboxes", "updates": [{"q": {"_id": ONE}, "u": {}}]},
    {"delete": "sessions", "deletes": [{"q": {"user_id": ONE}, "limit": 0}]},
    {"aggregate": "comments", "pipeline": [{"$match": {"post_id": ONE}}]},
    {"insert": "notifications", "documents": [{"_id": ONE, "user_id": ONE}]},
    {"createIndexes": "messages", "indexes": [{"key": {"conversation_id": 1, "seq": 1}, "name": "a", "unique": True}]},
    {"createIndexes": "messages", "indexes": [{"key": {"changed_at": 1}, "name": "a"}]},
]
SCATTERED: list[dict[str, Any]] = [
    {"find": "messages", "filter": {"_id": ONE}},
    {"find": "messages", "filter": {"conversation_id": {"$gt": ONE}}},
    {"find": "messages", "filter": {"$or": [{"conversation_id": ONE}, {"seq": 1}]}},
    {"find": "messages"},
    {"count": "messages", "query": {"seq": 1}},
    {"distinct": "comments", "key": "post_id", "query": {"number": 1}},
    {"findAndModify": "users", "query": {"display_name": "An"}},
    {"update": "inboxes", "updates": [{"q": {"_id": ONE}, "u": {}}, {"q": {"last_seq": 1}, "u": {}}]},
    {"delete": "sessions", "deletes": [{"q": {"_id": ONE}, "limit": 1}]},
    {"aggregate": "comments", "pipeline": [{"$group": {"_id": "$post_id"}}]},
    {"aggregate": "comments", "pipeline": []},
    {"insert": "notifications", "documents": [{"_id": ONE}]},
    {"createIndexes": "messages", "indexes": [{"key": {"seq": 1}, "name": "a", "unique": True}]},
]


@pytest.mark.parametrize("command", ROUTED, ids=range(len(ROUTED)))
def test_a_command_with_the_shard_key_is_routed(command: dict[str, Any]) -> None:
    assert [] == list(problems_of(next(iter(command)), command))


@pytest.mark.parametrize("command", SCATTERED, ids=range(len(SCATTERED)))
def test_a_command_without_the_shard_key_is_named(command: dict[str, Any]) -> None:
    [problem] = problems_of(next(iter(command)), command)
    assert problem.startswith(next(iter(command.values())))


def test_every_allowed_scatter_has_a_reason() -> None:
    for scatter in SCATTERS:
        assert scatter.collection in SHARD_KEYS
        assert scatter.reason
