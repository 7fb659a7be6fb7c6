"""A complete Loa: `python -m service` with one worker, as its users run it, but without rate limits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.load import wire
from tests.load.clients import Traffic
from tests.load.database import DAY, LoadDatabase, User
from tests.load.machine import Cores
from tests.load.target import HOST, LoadTarget
from tests.load.wire import MARKER, NUMBER_PLACEHOLDER, Address
from tests.running import running

NAME = "Loa"
DESCRIPTION = (
    "`python -m service`, one worker, RATE_LIMITS=off; every connection is signed in, every message is stored and "
    "carried by the bus; worker on the servers' core, datastores on the clients'"
)
SOCKET = "/api/v1/ws/chat"
SOCKET_READY = b'"type":"hello"'
STREAM = "/api/v1/notifications/stream"
STREAM_READY = b"event: hello"


@contextmanager
def loa(
    database: LoadDatabase, cores: Cores, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[LoadTarget]:
    """Run Loa on the load database, with further `settings`. The worker's processor time and memory are measured."""
    environment = {
        "MONGODB_URI": database.mongodb_uri,
        "REDIS_URL": database.redis_url,
        "JWT_SECRET": database.secret,
        "DATA_DIR": str(directory / "loa"),
        "ACCESS_TOKEN_TTL": str(DAY),
        "WEB_CONCURRENCY": "1",
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
    }
    with ExitStack() as stack:
        with cores.on_server_core():
            server = stack.enter_context(running(environment, directory / "loa.log"))
        yield LoadTarget(NAME, DESCRIPTION, (HOST, urlsplit(server.url).port or 0), lambda: server.workers)


def group(database: LoadDatabase, address: Address, size: int, each: int = 1) -> Traffic:
    """A conversation of `size` users with `each` WebSockets per user; one more WebSocket publishes."""
    users = database.users(size)
    payload = message(database.create_group(users))
    return Traffic(
        [socket(address, user) for user in users] * each, [(socket(address, users[0]), payload)], ready=SOCKET_READY
    )


def devices(database: LoadDatabase, address: Address, count: int) -> Traffic:
    """One user with `count` WebSockets, in a conversation of two; one more of them publishes."""
    user, other = database.users(2)
    payload = message(database.create_group([user, other]))
    return Traffic([socket(address, user)] * count, [(socket(address, user), payload)], ready=SOCKET_READY)


def senders(database: LoadDatabase, address: Address, count: int) -> Traffic:
    """`count` users, each in a conversation with an absent user, each waiting for its acks."""
    users = database.users(count + 1)
    absent = users[-1]
    publishers = []
    for user in users[:-1]:
        payload = {
            "type": "send_message",
            "ref": MARKER,
            "conversation_id": database.create_group([user, absent]),
            "content": "x" * wire.TEXT_BYTES,
            "nonce": _nonce(),
        }
        publishers.append((socket(address, user), wire.frame(payload)))
    return Traffic([], publishers, ready=SOCKET_READY, answers=True)


def streams(database: LoadDatabase, address: Address, count: int, callers: int) -> Traffic:
    """One author with `count` streams; `callers` other users comment on the author's post."""
    return comments(database, address, database.users(callers + 1), count)


def comments(database: LoadDatabase, address: Address, users: Sequence[User], count: int) -> Traffic:
    """The first of the users has written a post, and has `count` streams; the others comment on it."""
    author, *others = users
    path = f"/api/v1/posts/{database.create_post(author)}/comments"
    publishers = []
    for user in others:
        body = f'{{"content": "{wire.marked_text()}", "nonce": "{_nonce()}"}}'
        publishers.append((b"", wire.post(address, path, body, wire.bearer(user.token))))
    return Traffic([stream(address, author)] * count, publishers, ready=STREAM_READY, keepalive=b"")


def storm(database: LoadDatabase, address: Address, early: int, late: int) -> Traffic:
    """A group that sends messages, and `late` users who connect."""
    users = database.users(early + late)
    members = users[:early]
    return Traffic(
        [socket(address, user) for user in members],
        [(socket(address, members[0]), message(database.create_group(members)))],
        [socket(address, user) for user in users[early:]],
        ready=SOCKET_READY,
    )


def resuming(database: LoadDatabase, address: Address, early: int, returning: Sequence[User], seen: int) -> Traffic:
    """A group that sends messages, and the streams of users who return and have seen their notifications up to
    `seen`."""
    storming = storm(database, address, early, 0)
    last_seen = f"Last-Event-ID: {seen}"
    joiners = [wire.stream(address, STREAM, wire.bearer(user.token), last_seen) for user in returning]
    # The common part of SOCKET_READY and STREAM_READY.
    return replace(storming, joiners=joiners, ready=b"hello")


def message(conversation_id: str) -> bytes:
    """A frame that sends a message. Its ref has no marker, because an ack is not a delivery."""
    return wire.frame(
        {
            "type": "send_message",
            "ref": NUMBER_PLACEHOLDER,
            "conversation_id": conversation_id,
            "content": wire.marked_text(),
            "nonce": _nonce(),
        }
    )


def socket(address: Address, user: User) -> bytes:
    return wire.upgrade(address, SOCKET, wire.bearer(user.token))


def stream(address: Address, user: User) -> bytes:
    return wire.stream(address, STREAM, wire.bearer(user.token))


def _nonce() -> str:
    """A unique nonce: the numbers start again with each run, and a nonce is accepted once."""
    return f"{uuid4().hex}-{NUMBER_PLACEHOLDER}"
