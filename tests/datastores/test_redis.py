"""Connections to Redis, their timeouts and their errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import uvloop
from redis.asyncio import Redis

from service.datastores import redis as datastore
from service.datastores.redis import REDIS_ERRORS, InvalidRedisURL, connect, verifies_certificate
from tests.conftest import Datastores
from tests.proxy import Proxy

SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgh004rFXynIEAK3If
sEILh/3XQT9kKb/DxQdGn0bVDQehRANCAARJFmbOvlebRhOntPwVX5AtuD1OQnn4
W6WWCoV3t+gguYe4JFoZfLeWryRuxkr8jVS/RY1Q/nWuQd6vV252T/3P
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIUYfLtlwor62EpcnuFCSBfWNb16cEwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIbG9hLXRlc3QwIBcNMjYxMTIxMjEzMjAxWhgPMjEyNjEwMjgy
MTMyMDFaMBMxETAPBgNVBAMMCGxvYS10ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAESRZmzr5Xm0YTp7T8FV+QLbg9TkJ5+FullgqFd7foILmHuCRaGXy3lq8k
bsZK/I1Uv0WNUP51rkHer1dudk/9z6NTMFEwHQYDVR0OBBYEFJb+n2AsoG/2uJof
NeAT+N/OhcVIMB8GA1UdIwQYMBaAFJb+n2AsoG/2uJofNeAT+N/OhcVIMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAOfBr5Mr6F+Bp8MBjDxdp+J0
CTW54aY5ix3cdfY835mjAiB4C+0VB2h/MHp1rUxiiQ5Ai3puEeeBB6M9w8OsNsou
EA==
-----END CERTIFICATE-----
"""
"""Self-signed, for this test only, valid until 2126."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that calls `serve` for each connection."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_replies_are_bytes(redis: Redis) -> None:
    await redis.set("loa:test", "ế")
    assert "ế".encode() == await redis.get("loa:test")


async def test_a_dropped_connection_is_replaced(redis: Redis, datastores: Datastores) -> None:
    """The command that notices it is repeated once."""
    other = connect(datastores.redis_url)
    await other.ping()
    assert await redis.client_kill_filter(_type="normal", skipme=True) >= 1
    assert await other.ping()
    await other.aclose()


def test_a_reset_connection_is_replaced_on_uvloop(datastores: Datastores) -> None:
    """There it raises another error, and the workers use uvloop."""

    async def ping_after_a_reset() -> bool:
        async with Proxy(datastores.redis_url) as proxy:
            redis = connect(proxy.url)
            await redis.ping()
            proxy.reset()
            await asyncio.sleep(0.1)
            answer = await redis.ping()
            await redis.aclose()
            return bool(answer)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ping_after_a_reset())


async def test_a_refused_connection_fails_without_a_long_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    backoffs: list[float] = []

    async def record(seconds: float) -> None:
        backoffs.append(seconds)

    monkeypatch.setattr("redis.asyncio.retry.sleep", record)
    redis = connect("redis://127.0.0.1:1")
    with pytest.raises(REDIS_ERRORS):
        await redis.ping()
    assert sum(backoffs) < 0.1
    await redis.aclose()


async def test_a_hanging_redis_fails_after_a_few_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datastore, "REDIS_TIMEOUT", 0.05)
    end = asyncio.Event()
    connections = 0

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await end.wait()
        writer.close()

    async with listening(be_silent) as port:
        redis = connect(f"redis://127.0.0.1:{port}")
        with pytest.raises(REDIS_ERRORS):
            await redis.ping()
        assert connections <= 4
        end.set()
        await redis.aclose()


async def test_a_thousand_commands_share_a_limited_pool(
    redis: Redis, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for a connection instead of failing."""
    monkeypatch.setattr(datastore, "REDIS_TIMEOUT", 30.0)
    before = len(await redis.client_list())
    patient = connect(datastores.redis_url)
    await asyncio.gather(*(patient.incr("loa:test") for _ in range(1000)))
    assert b"1000" == await redis.get("loa:test")
    # Servers of other tests may connect meanwhile.
    assert len(await redis.client_list()) <= before + datastore.POOL_SIZE + 10
    await patient.aclose()


async def test_a_self_signed_certificate_is_rejected_unless_the_url_disables_verification(
    datastores: Datastores, tmp_path: Path
) -> None:
    """Heroku's is self-signed; `?ssl_cert_reqs=none` accepts it."""
    (tmp_path / "certificate.pem").write_text(SELF_SIGNED)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem")
    async with listening(relay_to(datastores.redis_url), tls) as port:
        redis = connect(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=none")
        assert await redis.ping()
        await redis.aclose()
        strict = connect(f"rediss://127.0.0.1:{port}")
        with pytest.raises(REDIS_ERRORS, match=r"(?i)certificate"):
            await strict.ping()
        await strict.aclose()
        # The certificate of another host is rejected, too.
        trusting = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'certificate.pem'}"
        redis = connect(trusting)
        with pytest.raises(REDIS_ERRORS, match=r"(?i)certificate.*mismatch"):
            await redis.ping()
        await redis.aclose()
        assert verifies_certificate(trusting)
        redis = connect(f"{trusting}&ssl_check_hostname=false")
        assert await redis.ping()
        await redis.aclose()
        assert not verifies_certificate(f"{trusting}&ssl_check_hostname=false")


@pytest.mark.parametrize("option", ["colour=red", "ssl_cert_reqs=perhaps", "socket_timeout=soon"])
async def test_an_unknown_option_is_refused_at_once(option: str) -> None:
    """Otherwise every command would fail, as in an outage."""
    with pytest.raises(InvalidRedisURL):
        connect(f"rediss://:sesame@127.0.0.1?{option}")


async def test_the_url_cannot_change_that_replies_are_bytes(datastores: Datastores) -> None:
    redis = connect(f"{datastores.redis_url}&decode_responses=true")
    assert b"ok" == await redis.echo("ok")
    await redis.aclose()


def relay_to(redis_url: str) -> Serve:
    """Return a connection handler that forwards everything to that Redis."""
    address = urlsplit(redis_url)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if address.scheme == "unix":
            inner_reader, inner_writer = await asyncio.open_unix_connection(unquote(address.path))
        else:
            inner_reader, inner_writer = await asyncio.open_connection(address.hostname, address.port or 6379)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    return forward


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()
