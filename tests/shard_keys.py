"""The shard keys of MongoDB's collections, and a listener that finds commands which a sharded cluster cannot route.

No `mongos` can be had in the tests, but its rule can be checked in the commands themselves: a command goes to one shard
if its filter says what the shard key equals. Otherwise it goes to every shard, and more shards do not make it faster.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import motor
from motor.frameworks import asyncio as motor_asyncio
from pymongo import monitoring

OBJECT_ID = re.compile(r"\b[0-9a-f]{24}\b")
MOTOR = str(Path(motor.__file__).parent)
SERVICE = str(Path(__file__).parent.parent / "service")

_from_service: ContextVar[bool] = ContextVar("from_service", default=False)

SHARD_KEYS = {
    "attachments": "_id",
    "attachments.chunks": "files_id",
    "attachments.files": "_id",
    "blocks": "user_id",
    "comments": "post_id",
    "conversation_settings": "user_id",
    "conversations": "_id",
    "direct_conversations": "_id",
    "external_ids": "_id",
    "inboxes": "_id",
    "last_seen": "_id",
    "memberships": "user_id",
    "messages": "conversation_id",
    "notification_groups": "user_id",
    "notification_preferences": "_id",
    "notifications": "user_id",
    "post_mutes": "user_id",
    "reactions": "subject_id",
    "search_buckets": "conversation_id",
    "search_heads": "_id",
    "sessions": "user_id",
    "usernames": "_id",
    "users": "_id",
}
"""The shard key of each collection that grows with the users, hashed. The `_id` of `inboxes`,
`notification_preferences` and `last_seen` is the user's id."""

UNSHARDED = {
    "change_followers": "one document for each consumer of changes",
    "chat_writers": "one small document for each process",
    "invitations": "at most 50 for each group, each for a week; found by token as well as by group",
    "moderation_log": "what moderators do, a list in the order of time",
    "reports": "a list in the order of time, of few; found by subject, reporter and author as well",
    "migrations": "one document for each migration",
    "posts": "the feed is one list in the order of time: in a sharded collection, each page would ask every shard",
    "push_deliveries": "only those that wait, whose number is limited",
    "push_news": "only those that wait, whose number is limited",
    "push_keys": "one small document",
    "push_subscriptions": "at most ten small documents of a user; found by endpoint as well as by user",
    "search_index": "one small document",
    "webhook_deliveries": "only those that wait, whose number is limited, and those that are parked",
    "webhook_endpoint": "one small document",
}
"""The other collections, and why each of them stays on one shard."""


class Scatter(NamedTuple):
    """A command that is allowed to go to every shard. `fields` are those of its filter, with their operators;
    an id in a name is written `*`."""

    collection: str
    command: str
    fields: str
    reason: str


SCATTERS = [
    *(
        Scatter(collection, "find", "_id $gte $lt", "followers of changes that have lost their history, and release")
        for collection in SHARD_KEYS
    ),
    Scatter("attachments", "find", "expires_at $lt", "retention: those that nobody has used"),
    Scatter("attachments", "find", "user_id", "delete-user: the files of one user"),
    Scatter("blocks", "find", "blocked_id", "delete-user: the blocks of the user by others"),
    Scatter("comments", "find", "owed", "recovery: the comments that a process left pending, of any post"),
    Scatter("comments", "find", "_id $gt, owed", "recovery: its further pages"),
    Scatter("comments", "find", "owed $lt", "recovery: deleted comments, of any post, of which something may be left"),
    Scatter("comments", "find", "_id, deleted_at", "reports: the comment that somebody reports, by its id alone"),
    Scatter("messages", "find", "_id, deleted", "reports: the message that somebody reports, by its id alone"),
    Scatter("comments", "find", "_id $gte $lt, author_id", "delete-user, export: the comments of one author"),
    Scatter("conversations", "find", "unannounced $lt", "recovery: changes that a process left unannounced"),
    Scatter("conversations", "find", "direct_key", "an earlier version runs: its unique index prevents sharding"),
    Scatter("conversations", "find", "_id $gte $lt, direct_key $exists", "release: those of an earlier version"),
    Scatter("conversations", "find", "_id $gte $lt, changed_at $gte", "the same followers: those that were changed"),
    Scatter("messages", "find", "changed_at $gte $lt, claims.1 $exists", "the same followers: those that were changed"),
    Scatter("users", "find", "_id $gte $lt, deleted_at $gte", "the same followers: those that were deleted"),
    Scatter("conversations", "find", "membership_change $exists", "release: changes that a process left incomplete"),
    Scatter("conversations", "find", "participants.100 $exists", "release: large groups of an earlier version"),
    Scatter("memberships", "find", "conversation_id, version $gt", "who has joined or left, after a change only"),
    Scatter("conversations", "find", "barrier $exists, participants", "delete-user: what an interrupted one has left"),
    Scatter("memberships", "find", "conversation_id, place $gte", "all participants, for an announcement to them"),
    Scatter("memberships", "find", "conversation_id, place $gte $lt", "a page of the participants"),
    Scatter("messages", "distinct", "changed_at $gte $lte", "recovery: conversations that a killed process wrote to"),
    Scatter("messages", "find", "_id $in, rev $ne", "webhooks: in a sharded database the changes have the shard key"),
    Scatter("messages", "find", "_id $in, content $exists", "search: the same of the messages that were changed"),
    Scatter("messages", "find", "_id $gte $lt, sender_id", "delete-user, export: the messages of one sender"),
    Scatter("messages", "find", "_id $gte $lt, reactions $ne", "delete-user, export: the reactions of one user"),
    Scatter("notifications", "find", "_id $lt", "retention: the oldest notifications"),
    Scatter("notification_groups", "find", "_id $lt, first_at $lt", "retention: groups of deleted notifications"),
    Scatter("reactions", "find", "owed $exists", "recovery: the reactions that a process left pending, to anything"),
    Scatter("reactions", "find", "_id $gt, owed $exists", "recovery: its further pages"),
    Scatter("reactions", "find", "_id $gte $lt, users.* $exists", "delete-user, export: the reactions of one user"),
    Scatter("sessions", "find", "expires_at $lt", "retention: expired sessions"),
    Scatter("sessions", "find", "revoked_at $gte", "revocation: one process polls for all"),
    Scatter("sessions", "find", "tokens_ended_at $gte", "revocation: one process polls for all"),
    Scatter("users", "find", "deletion_requested", "deletions: one process looks for users who are to be deleted"),
    Scatter("users", "find", "ban.pending", "bans: one process looks for those that were interrupted"),
    Scatter("users", "find", "ban.at $exists, ban.until $not", "moderation: the bans, which are few"),
    Scatter("users", "find", "$or, ban.at $exists, ban.until $not", "moderation: their further pages"),
    Scatter("users", "update", "ban $exists, ban.at $exists", "release: the bans of an earlier version have no time"),
    Scatter("users", "find", "search_terms", "release: users of an earlier version, who have no search terms"),
    Scatter("users", "find", "username", "an earlier version runs: its unique index prevents sharding"),
    Scatter("users", "find", "deleted_at, search_terms, username $gt", "search: no key could say who has such a name"),
]
"""Few, and none of them is on the way of a message or a notification."""

MOVED = [
    Scatter("conversations", "find", fields, "being moved: the participants leave the conversation's document")
    for fields in (
        "participants",
        "_id $lt, last_activity, participants",
        "last_activity $gte, participants",
        "last_activity $lt, participants",
        "participants $in",
        "participants $in, participants.16 $exists",
        "participants $all $in",
        "kind, participants",
    )
]

MOVED += [
    Scatter("conversations", command, fields, "being moved: the participants leave the conversation's document")
    for command, fields in (
        ("find", "participants, reads.* $exists"),
        ("update", "former.user"),
        ("update", "former.user, joined.users"),
    )
]

ALLOWED = {each[:3] for each in (*SCATTERS, *MOVED)}


def register(report: Callable[[str], None] | None = None) -> "ShardKeyCheck":
    """Give a new listener to every client of this process that is made from now on; return it."""
    check = ShardKeyCheck(report)
    monitoring.register(check)
    submit = motor_asyncio.run_on_executor

    def run_on_executor(loop: Any, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        # The thread that sends the command gets a copy of this context, but not the stack.
        token = _from_service.set(_caller(sys._getframe(1)).startswith(SERVICE))
        try:
            return submit(loop, call, *args, **options)
        finally:
            _from_service.reset(token)

    motor_asyncio.run_on_executor = run_on_executor
    return check


def _caller(frame: FrameType | None) -> str:
    """Return the file of the first frame outside the driver."""
    while frame and frame.f_code.co_filename.startswith(MOTOR):
        frame = frame.f_back
    return frame.f_code.co_filename if frame else ""


class ShardKeyCheck(monitoring.CommandListener):
    """Records each command that no router could send to the shards concerned, and each index that no shard could keep.

    Only commands of the service count: tests look at the database as they like.
    """

    def __init__(self, report: Callable[[str], None] | None = None) -> None:
        self.problems: list[str] = []
        self._report = report

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if _from_service.get():
            for problem in problems_of(event.command_name, event.command):
                self.problems.append(problem)
                if self._report:
                    self._report(problem)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


def problems_of(name: str, command: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a command; nothing if its collection is not one of SHARD_KEYS."""
    collection = command.get(name)
    key = SHARD_KEYS.get(collection) if isinstance(collection, str) else None
    if key is None:
        return
    if name == "createIndexes":
        for index in command["indexes"]:
            first = next(iter(index["key"]))
            if index.get("unique") and first not in (key, "_id"):
                yield f"{collection}: the unique index {index['name']} does not begin with {key}"
    elif name == "insert":
        if any(key not in document for document in command["documents"]):
            yield f"{collection}: a document without {key}"
    else:
        for found in _filters(name, command):
            fields = shape_of(found)
            if not _selects(found, key) and (collection, name, fields) not in ALLOWED:
                yield f"{collection}: {name} by {{{fields}}}, without {key}"


def _filters(name: str, command: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    match name:
        case "find":
            return [command.get("filter", {})]
        case "update":
            return [update["q"] for update in command["updates"]]
        case "delete":
            return [deletion["q"] for deletion in command["deletes"]]
        case "count" | "distinct" | "findAndModify":
            return [command.get("query", {})]
        case "aggregate":
            return [command["pipeline"][0].get("$match", {}) if command["pipeline"] else {}]
    return []


def _selects(query: Mapping[str, Any], key: str) -> bool:
    """Whether the filter says which values of `key` it selects: one, or one of several."""
    if key in query:
        value = query[key]
        operators = [name for name in value if name.startswith("$")] if isinstance(value, MutableMapping) else []
        if not operators or "$in" in operators or "$eq" in operators:
            return True
    if any(_selects(part, key) for part in query.get("$and", ())):
        return True
    return bool(query.get("$or")) and all(_selects(part, key) for part in query["$or"])


def shape_of(query: Mapping[str, Any]) -> str:
    """Return the fields of a filter with their operators, as in `Scatter`."""
    fields = []
    for field, value in sorted(query.items()):
        operators = sorted(name for name in value if name.startswith("$")) if isinstance(value, MutableMapping) else []
        fields.append(" ".join([OBJECT_ID.sub("*", field), *operators]))
    return ", ".join(fields)
