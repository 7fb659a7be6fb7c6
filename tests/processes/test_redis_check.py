"""The message at the start if Redis cannot do what the service needs."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import Settings
from service.processes.redis_check import redis_problem
from tests.cluster import Node, running
from tests.datastores.test_redis import SELF_SIGNED, listening, relay_to

KEYS, CHANNELS = "~{loa}* ~{loa:*", "&{loa}* &{loa:*"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running([Node(tmp_path / "node", clustered=False)]) as (node,):
        yield node


async def problem(url: str) -> str | None:
    return await redis_problem(Settings(redis_url=url))


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ("~* +@all &*", None),
        (f"{KEYS} +@all -@admin -@dangerous +info {CHANNELS}", None),
        (f"{KEYS} +@all -@admin -@dangerous {CHANNELS}", None),
        (f"{KEYS} +@all &{{loa}}*", "No permissions to access a channel"),
        ("~{loa}* ~{loa:limits}* +@all &*", "No permissions to access a key"),
        ("~* +@all resetchannels", "No permissions to access a channel"),
        ("~{loa}* +@all &*", "No permissions to access a key"),
        (f"{KEYS} +@all -@scripting &*", "User loa has no permissions to run the 'eval' command"),
        (f"{KEYS} +@read &*", "User loa has no permissions to run the 'multi' command"),
    ],
)
async def test_missing_permissions_are_named(node: Node, permissions: str, expected: str | None) -> None:
    await node.redis.execute_command(f"ACL SETUSER loa on >sesame {permissions}")
    assert expected == await problem(f"redis://loa:sesame@127.0.0.1:{node.port}")


async def test_a_wrong_password_is_named_and_not_quoted(node: Node) -> None:
    await node.redis.execute_command("ACL SETUSER loa on >sesame ~* +@all")
    found = await problem(f"redis://loa:open-sesame@127.0.0.1:{node.port}")
    assert "invalid username-password pair or user is disabled" == found


async def test_a_read_only_replica_is_named(node: Node) -> None:
    await node.redis.execute_command("REPLICAOF 127.0.0.1 1")
    assert "You can't write against a read only replica" == await problem(node.url)


async def test_eviction_is_named(node: Node) -> None:
    """Redis would delete the list of ended sessions when it needs memory."""
    await node.redis.config_set("maxmemory", "10mb")
    assert await problem(node.url) is None
    await node.redis.config_set("maxmemory-policy", "allkeys-lru")
    assert "its maxmemory-policy is allkeys-lru and must be noeviction" in str(await problem(node.url))


async def test_a_cluster_is_accepted(cluster_url: str) -> None:
    assert await problem(cluster_url) is None


async def test_an_unreachable_redis_is_named() -> None:
    assert "Error 111 connecting to 127.0.0.1:1" in str(await problem("redis://127.0.0.1:1"))


async def test_problems_with_tls_are_named(node: Node, tmp_path: Path) -> None:
    """A certificate that does not verify, and plain text to a port for TLS."""
    (tmp_path / "certificate.pem").write_text(SELF_SIGNED)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem")
    async with listening(relay_to(node.url), tls) as port:
        assert "certificate verify failed: self-signed certificate" in str(await problem(f"rediss://127.0.0.1:{port}"))
        assert await problem(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=none") is None
        assert "(does the server expect TLS?)" in str(await problem(f"redis://127.0.0.1:{port}"))
