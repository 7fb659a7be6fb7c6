"""Loa, whole: `python -m service` with one worker, as its users run it, but without rate limits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.load import wire
from tests.load.clients import Traffic
from tests.load.machine import Cores
from tests.load.subject import HOST, Subject
from tests.load.wire import DIGITS, MARK, Address
from tests.load.world import DAY, Person, World
from tests.running import running

NAME = "Loa"
HOW = (
    "`python -m service`, one worker, RATE_LIMITS=off; every connection signed in, every message stored and carried "
    "by the bus; worker on the servers' core, datastores on the clients'"
)
SOCKET = "/api/v1/ws/chat"
SOCKET_READY = b'"type":"hello"'
STREAM = "/api/v1/notifications/stream"
STREAM_READY = b"event: hello"


@contextmanager
def loa(world: World, cores: Cores, directory: Path) -> Iterator[Subject]:
    """A running Loa on the world's database; the worker's processor time and memory count."""
    environment = {
        "MONGODB_URI": world.mongodb_uri,
        "REDIS_URL": world.redis_url,
        "JWT_SECRET": world.secret,
        "DATA_DIR": str(directory / "loa"),
        "ACCESS_TOKEN_TTL": str(DAY),
        "WEB_CONCURRENCY": "1",
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }
    with ExitStack() as stack:
        with cores.of_server():
            server = stack.enter_context(running(environment, directory / "loa.log"))
        yield Subject(NAME, HOW, (HOST, urlsplit(server.url).port or 0), lambda: server.workers)


def group(world: World, address: Address, size: int, each: int = 1) -> Traffic:
    """A conversation of `size` people with so many sockets each; one more of the first speaks."""
    people = world.people(size)
    says = message(world.group(people))
    return Traffic(
        [socket(address, person) for person in people] * each, [(socket(address, people[0]), says)], ready=SOCKET_READY
    )


def devices(world: World, address: Address, count: int) -> Traffic:
    """One person with `count` sockets, in a conversation of two; one more of them speaks."""
    person, other = world.people(2)
    says = message(world.group([person, other]))
    return Traffic([socket(address, person)] * count, [(socket(address, person), says)], ready=SOCKET_READY)


def senders(world: World, address: Address, count: int) -> Traffic:
    """As many people, each in a conversation of its own with one who is not there, each waiting for its acks."""
    people = world.people(count + 1)
    absent = people[-1]
    speakers = []
    for person in people[:-1]:
        says = {
            "type": "send_message",
            "ref": MARK,
            "conversation_id": world.group([person, absent]),
            "content": "x" * wire.TEXT_BYTES,
            "nonce": _nonce(),
        }
        speakers.append((socket(address, person), wire.frame(says)))
    return Traffic([], speakers, ready=SOCKET_READY, answers=True)


def streams(world: World, address: Address, count: int, callers: int) -> Traffic:
    """One author with `count` streams, whose post `callers` others comment on."""
    author, *others = world.people(callers + 1)
    path = f"/api/v1/posts/{world.post(author)}/comments"
    speakers = []
    for person in others:
        body = f'{{"content": "{wire.text()}", "nonce": "{_nonce()}"}}'
        speakers.append((b"", wire.post(address, path, body, wire.bearer(person.token))))
    return Traffic([stream(address, author)] * count, speakers, ready=STREAM_READY, keepalive=b"")


def storm(world: World, address: Address, early: int, late: int) -> Traffic:
    """A group that talks, and many others who come."""
    people = world.people(early + late)
    members = people[:early]
    return Traffic(
        [socket(address, person) for person in members],
        [(socket(address, members[0]), message(world.group(members)))],
        [socket(address, person) for person in people[early:]],
        ready=SOCKET_READY,
    )


def message(conversation_id: str) -> bytes:
    """A frame that says something there; the ref has no mark, for an ack is no delivery."""
    return wire.frame(
        {
            "type": "send_message",
            "ref": DIGITS,
            "conversation_id": conversation_id,
            "content": wire.text(),
            "nonce": _nonce(),
        }
    )


def socket(address: Address, person: Person) -> bytes:
    return wire.upgrade(address, SOCKET, wire.bearer(person.token))


def stream(address: Address, person: Person) -> bytes:
    return wire.stream(address, STREAM, wire.bearer(person.token))


def _nonce() -> str:
    """The digits begin anew with each run, and a nonce is good once."""
    return f"{uuid4().hex}-{DIGITS}"
