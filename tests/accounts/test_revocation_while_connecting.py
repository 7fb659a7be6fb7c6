"""A session that is revoked while its socket or stream connects: the connection receives nothing and is closed."""

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
from service.accounts.models import Login, SignedIn
from service.accounts.revocation import BUS_KIND
from service.accounts.verifier import CredentialVerifier
from service.common.encoding import dumps
from service.common.identity import ACCESS, Identity
from service.datastores.mongo import Mongo
from service.datastores.redis import TAG
from service.edge.connection_opener import ConnectionOpener
from service.edge.frame_handler import FrameHandler
from service.http.authentication import Authentication
from service.http.limits import CONNECTING, ConnectionLimit, RateLimit, RateLimits
from service.http.origin import OriginCheck
from service.notifications.frames import FRAMES
from service.realtime.bus import LocalBus
from service.realtime.connection import Connection
from service.realtime.event import Event
from service.realtime.user_subscriptions import UserSubscriptions
from service.realtime.websocket import accept_websocket
from tests.accounts.accounts_process import AccountsProcess, build_process
from tests.accounts.conftest import PASSWORD, USERNAME
from tests.http.conftest import build
from tests.realtime.wire import HANDSHAKE, wired
from tests.rest import RestClient, serving

PREFIX = f"{TAG}:revoked:"

Revoke = Callable[[], Awaitable[None]]


class RevokingRateLimits(RateLimits):
    """Calls `revoke` at the rate limit of connections, which is between the token check and the registration."""

    def __init__(self, revoke: Revoke) -> None:
        super().__init__(None, False)
        self._revoke = revoke

    async def check(self, limit: RateLimit, *keys: str) -> None:
        await super().check(limit, *keys)
        if limit is CONNECTING:
            await self._revoke()


class RevokingVerifier(CredentialVerifier):
    """Verifies a token, then calls `revoke` before it returns the identity."""

    revoke: Revoke

    async def verify_scoped_token(self, token: str | None, scope: str) -> Identity:
        bearer = await super().verify_scoped_token(token, scope)
        await self.revoke()
        return bearer


class Processes(NamedTuple):
    """The process that clients connect to and the process that revokes their sessions; the same one or two."""

    connecting: AccountsProcess
    revoking: AccountsProcess


@asynccontextmanager
async def serve_connections(
    process: AccountsProcess, before_registration: Revoke, before_hello: Revoke
) -> AsyncIterator[RestClient]:
    """Serve `/socket` and `/stream`, with callbacks before the registration and before the hello."""
    limits = RevokingRateLimits(before_registration)
    connection_limit = ConnectionLimit(process.registry.connections, False)
    subscriptions = UserSubscriptions(LocalBus(), process.registry)
    auth = Authentication(process.verifier, limits)
    opener = ConnectionOpener(process.registry, subscriptions, auth, OriginCheck(()), limits, connection_limit)
    app = build()

    async def begin(connection: Connection) -> None:
        await before_hello()
        connection.go_live([Event("hello", {}, channel="chat")])

    @app.get("/socket")
    async def socket(request: Request) -> HTTPResponse:
        return await opener.open_socket(request, "chat", begin)

    @app.get("/stream")
    async def stream(request: Request) -> HTTPResponse:
        return await opener.open_stream(request, "chat", begin)

    async with serving(app) as client:
        try:
            yield client
        finally:
            for connection in process.registry:
                connection.close(1001, "over")
            await process.registry.wait_until_empty(5)


async def do_nothing() -> None: ...


@pytest.fixture(params=["same process", "other process", "other process, bus message lost"])
def revoked_on(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["Redis up", "Redis down"])
async def processes(
    request: pytest.FixtureRequest,
    revoked_on: str,
    mongo: Mongo,
    redis: Redis,
    no_redis: Redis,
    process: AccountsProcess,
) -> AsyncIterator[Processes]:
    redis_client = redis if request.param == "Redis up" else no_redis
    bus = LocalBus()
    connecting = build_process(mongo, redis_client, bus=bus)
    if revoked_on == "same process":
        processes = Processes(connecting, connecting)
    else:
        shared_bus = bus if revoked_on == "other process" else None
        processes = Processes(connecting, build_process(mongo, redis_client, bus=shared_bus))
    for each in processes:
        await each.revocation.poll()
    assert connecting.denylist.is_complete is (request.param == "Redis up")
    yield processes
    for each in processes:
        await each.passwords.close()


async def receive_until_closed(client: RestClient, token: str) -> tuple[list[str], int, str]:
    """Return the frames that a socket receives, and the code and reason of its close frame."""
    frames: list[str] = []
    async with connect(f"{client.url('/socket', 'ws')}?token={token}", proxy=None) as socket:
        try:
            while True:
                frames.append(str(await asyncio.wait_for(socket.recv(), 5)))
        except ConnectionClosed:
            assert socket.close_code
            return frames, socket.close_code, socket.close_reason or ""


async def test_a_socket_of_a_session_revoked_while_it_connects_is_closed(
    processes: Processes, signed_in: SignedIn, caller: Identity
) -> None:
    """The session is revoked between the token check and the registration. The socket receives no hello."""

    async def revoke() -> None:
        await processes.revoking.accounts.logout(caller)

    async with serve_connections(processes.connecting, revoke, do_nothing) as client:
        assert ([], 1008, "token_revoked") == await receive_until_closed(client, signed_in.access_token)
        assert 0 == len(processes.connecting.registry)


async def test_a_stream_of_a_session_revoked_while_it_connects_is_refused(
    processes: Processes, signed_in: SignedIn, caller: Identity
) -> None:
    """The response is the same as for any revoked token."""

    async def revoke() -> None:
        await processes.revoking.accounts.logout(caller)

    async with serve_connections(processes.connecting, revoke, do_nothing) as client:
        response = await client.get(f"/stream?token={signed_in.access_token}")
        assert (401, "token_revoked") == (response.status_code, response.json()["code"])
        assert 0 == len(processes.connecting.registry)


@pytest.mark.parametrize("revoked_on", ["same process", "other process"], indirect=True)
async def test_a_socket_of_a_session_revoked_before_its_hello_is_closed(
    processes: Processes, signed_in: SignedIn, caller: Identity
) -> None:
    """The connection is registered, so the revocation reaches it, and the prepared hello is not sent."""

    async def revoke() -> None:
        await processes.revoking.accounts.logout(caller)

    async with serve_connections(processes.connecting, do_nothing, revoke) as client:
        assert ([], 1008, "token_revoked") == await receive_until_closed(client, signed_in.access_token)


async def test_the_denylist_entry_precedes_the_bus_message(
    mongo: Mongo, redis: Redis, settings: Settings, caller: Identity
) -> None:
    """A connection that registers too late for the message finds the entry."""
    bus = LocalBus()
    process = build_process(mongo, redis, bus=bus)
    entries: list[int] = []
    assert settings.redis_url
    with BlockingRedis.from_url(settings.redis_url) as observer:
        bus.on(BUS_KIND, lambda head, _: entries.extend(observer.exists(PREFIX + id) for id in head["session_ids"]))
        await process.accounts.logout(caller)
    assert [1] == entries
    await process.passwords.close()


async def test_a_hanging_redis_does_not_delay_the_closing_of_connections(
    process: AccountsProcess, caller: Identity, redis: Redis
) -> None:
    """The connections of this process are closed before `announce` first waits."""
    connection = process.connect(caller)
    await redis.client_pause(1500)
    announcing = asyncio.create_task(process.revocation.announce(caller.user_id, [caller.session_id]))
    try:
        # The task runs until it waits for Redis.
        await asyncio.sleep(0)
        assert (1008, "token_revoked") == connection.closed
    finally:
        await redis.client_unpause()
        await announcing


async def test_a_session_revoked_while_a_socket_authenticates_with_it_closes_the_socket(
    processes: Processes, caller: Identity
) -> None:
    """The socket belonged to another session until then, so the revocation did not reach it."""
    again = await processes.connecting.accounts.login(Login(username=USERNAME, password=PASSWORD), "")
    fresh = await processes.connecting.verifier.verify_scoped_token(again.access_token, ACCESS)

    async def revoke() -> None:
        await processes.revoking.accounts.logout(fresh)

    connecting = processes.connecting
    verifier = RevokingVerifier(connecting.tokens, connecting.revocation, connecting.tickets)
    verifier.revoke = revoke  # type: ignore[method-assign]
    socket = accept_websocket(connecting.registry, caller, "notifications", HANDSHAKE)
    FrameHandler(socket, FRAMES, verifier, RateLimits(None, False))
    with connecting.registry.registration(socket):
        socket.go_live([])
    async with wired(socket) as peer:
        peer.send(Opcode.TEXT, dumps({"type": "authenticate", "token": again.access_token}).encode())
        assert (1008, "token_revoked") == await peer.close_frame()
