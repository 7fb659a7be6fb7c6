"""A session that ends in the moment in which its socket or stream joins: it is told nothing, and does not stay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from sanic import HTTPResponse, Request
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from config.settings import Settings
from service.accounts.denylist import PREFIX
from service.accounts.models import Login, SignedIn
from service.accounts.revocation import BUS_KIND
from service.accounts.tokens import ACCESS
from service.accounts.verifier import CredentialVerifier
from service.common.encoding import dumps
from service.common.identity import Identity
from service.datastores.mongo import Mongo
from service.edge.connection_opener import ConnectionOpener
from service.edge.frame_handler import FrameHandler
from service.http import limits as rules
from service.http.authentication import Authentication
from service.http.limits import ConnectionLimit, RateLimits
from service.http.origin import OriginCheck
from service.notifications.frames import FRAMES
from service.realtime.bus import LocalBus
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.websocket import WebSocket
from tests.accounts.accounts_process import AccountsProcess, build_process
from tests.accounts.conftest import PASSWORD
from tests.http.conftest import build
from tests.realtime.wire import HANDSHAKE, wired
from tests.rest import RestClient, serving

End = Callable[[], Awaitable[None]]


class Between(RateLimits):
    """The rule of connecting is looked at between the check of the token and the joining: there `end` is called."""

    def __init__(self, end: End) -> None:
        super().__init__(None, False)
        self._end = end

    async def check(self, limit: rules.RateLimit, *keys: str) -> None:
        await super().check(limit, *keys)
        if limit is rules.CONNECTING:
            await self._end()


class Two(NamedTuple):
    """The process that people join, and the one on which their sessions end."""

    joined: AccountsProcess
    ending: AccountsProcess


@asynccontextmanager
async def gate(one: AccountsProcess, before: End, during: End) -> AsyncIterator[RestClient]:
    """A socket and a stream of `one`. `before` is called before the joining, `during` before the hello."""
    limits = Between(before)
    bound = ConnectionLimit(one.registry.connections, False)
    upgrade = ConnectionOpener(one.registry, Authentication(one.verifier, limits), OriginCheck(()), limits, bound)
    app = build()

    async def begin(connection: Connection) -> None:
        await during()
        connection.go_live([Event("hello", {}, channel="chat")])

    @app.get("/socket")
    async def socket(request: Request) -> HTTPResponse:
        return await upgrade.open_socket(request, "chat", begin)

    @app.get("/stream")
    async def stream(request: Request) -> HTTPResponse:
        return await upgrade.open_stream(request, "chat", begin)

    async with serving(app) as client:
        try:
            yield client
        finally:
            for connection in one.registry:
                connection.close(1001, "over")
            await one.registry.wait_until_empty(5)


async def nothing() -> None: ...


@pytest.fixture(params=["here", "there", "there, and the message is lost"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["Redis up", "Redis down"])
async def two(
    request: pytest.FixtureRequest, where: str, mongo: Mongo, redis: Redis, no_redis: Redis, here: AccountsProcess
) -> AsyncIterator[Two]:
    client = redis if request.param == "Redis up" else no_redis
    bus = LocalBus()
    joined = build_process(mongo, client, bus=bus)
    if where == "here":
        two = Two(joined, joined)
    else:
        two = Two(joined, build_process(mongo, client, bus=bus if where == "there" else None))
    for each in two:
        await each.revocation.poll()
    assert joined.denylist.is_complete is (request.param == "Redis up")
    yield two
    for each in two:
        await each.passwords.close()


async def heard(client: RestClient, token: str) -> tuple[list[str], int, str]:
    """What a socket is told before it is closed, and how it is."""
    said: list[str] = []
    async with connect(f"{client.url('/socket', 'ws')}?token={token}", proxy=None) as socket:
        try:
            while True:
                said.append(str(await asyncio.wait_for(socket.recv(), 5)))
        except ConnectionClosed:
            assert socket.close_code
            return said, socket.close_code, socket.close_reason or ""


async def test_a_socket_whose_session_ends_as_it_joins(two: Two, an: SignedIn, caller: Identity) -> None:
    """Between the look at its token and its joining: it hears no hello, but why."""
    async with gate(two.joined, lambda: two.ending.accounts.logout(caller), nothing) as client:
        assert ([], 1008, "token_revoked") == await heard(client, an.access_token)
        assert 0 == len(two.joined.registry)


async def test_a_stream_whose_session_ends_as_it_joins(two: Two, an: SignedIn, caller: Identity) -> None:
    """It is answered like any whose token is revoked."""
    async with gate(two.joined, lambda: two.ending.accounts.logout(caller), nothing) as client:
        answer = await client.get(f"/stream?token={an.access_token}")
        assert (401, "token_revoked") == (answer.status_code, answer.json()["code"])
        assert 0 == len(two.joined.registry)


@pytest.mark.parametrize("where", ["here", "there"], indirect=True)
async def test_a_session_that_ends_while_the_past_is_read(two: Two, an: SignedIn, caller: Identity) -> None:
    """The connection is told like any other, and what it was about to hear is not said."""
    async with gate(two.joined, nothing, lambda: two.ending.accounts.logout(caller)) as client:
        assert ([], 1008, "token_revoked") == await heard(client, an.access_token)


async def test_the_end_is_told_once_it_can_be_found(
    mongo: Mongo, redis: Redis, settings: Settings, caller: Identity
) -> None:
    """Who hears of it later than they joined finds it on the denylist: the entry is there before the message."""
    bus = LocalBus()
    one = build_process(mongo, redis, bus=bus)
    there: list[object] = []
    assert settings.redis_url
    with BlockingRedis.from_url(settings.redis_url) as looking:
        bus.on(BUS_KIND, lambda head, _: there.append([looking.exists(PREFIX + each) for each in head["session_ids"]]))
        await one.accounts.logout(caller)
    assert [[1]] == there
    await one.passwords.close()


async def test_a_hanging_redis_does_not_keep_connections_here(
    here: AccountsProcess, caller: Identity, redis: Redis
) -> None:
    """They are closed before anyone waits for it."""
    connection = here.connect(caller)
    await redis.client_pause(1500)
    ending = asyncio.create_task(here.revocation.announce([caller.session_id]))
    try:
        # Up to where it begins to wait.
        await asyncio.sleep(0)
        assert (1008, "token_revoked") == connection.closed
    finally:
        await redis.client_unpause()
        await ending


class Late(CredentialVerifier):
    """Verifies, and calls `end` before it says so."""

    end: End = staticmethod(nothing)

    async def verify_scoped_token(self, token: str | None, scope: str) -> Identity:
        bearer = await super().verify_scoped_token(token, scope)
        await self.end()
        return bearer


async def test_a_session_that_ends_as_a_socket_shows_its_token(two: Two, an: SignedIn, caller: Identity) -> None:
    """The socket was of another session until then, so nobody would have told it."""
    again = await two.joined.accounts.login(Login(username="an.nguyen", password=PASSWORD), "")
    fresh = await two.joined.verifier.verify_scoped_token(again.access_token, ACCESS)
    late = Late(two.joined.tokens, two.joined.revocation, two.joined.tickets)
    late.end = lambda: two.ending.accounts.logout(fresh)
    socket = WebSocket(two.joined.registry, caller, "notifications", HANDSHAKE)
    FrameHandler(socket, FRAMES, late, RateLimits(None, False))
    with two.joined.registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, dumps({"type": "authenticate", "token": again.access_token}).encode())
        assert (1008, "token_revoked") == await peer.close_frame()
