"""`release` on databases that cannot do what the service needs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from service.commands.release import CannotRelease, release
from service.common.child_process import die_with_parent
from service.datastores.index_requests import IndexRequests
from service.datastores.mongo import Mongo
from tests.cluster import free_port
from tests.conftest import Datastores
from tests.datastores.test_redis import SELF_SIGNED
from tests.protocol.mongo_proxy import MongoProxy

PASSWORD = "open/sesame"
ENCODED = "open%2Fsesame"


@contextmanager
def database(directory: Path, *options: str) -> Iterator[int]:
    """Run SecantusDB on TCP with these options. Yields its port."""
    port = free_port()
    (directory / "empty.toml").write_text("")
    command = [sys.executable, "-m", "secantus", "--config", str(directory / "empty.toml"), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--storage-path", str(directory / "data"), "--log-level", "ERROR", *options],
        preexec_fn=die_with_parent(),  # noqa: PLW1509
    ) as process:
        yield port
        process.kill()


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a database that requires a password, with a user `reader` who may only read."""
    directory = tmp_path_factory.mktemp("protected")
    with (
        database(directory, "--sync-on-commit") as port,
        MongoClient[Any](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client,
    ):
        client["loa"].command("createUser", "reader", pwd=PASSWORD, roles=["read"])
    with database(directory, "--auth") as port:
        with MongoClient[Any](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
            client.admin.command("ping")
        yield f"127.0.0.1:{port}"


async def problem(uri: str) -> str:
    with pytest.raises(CannotRelease) as caught:
        await release(uri)
    return str(caught.value)


async def test_a_wrong_password_is_named_and_not_quoted(protected: str) -> None:
    assert "the database cannot be used: authentication failed" == await problem(
        f"mongodb://reader:wrong@{protected}/loa"
    )


async def test_missing_rights_are_named_without_the_password(protected: str) -> None:
    found = await problem(f"mongodb://reader:{ENCODED}@{protected}/loa")
    assert found.startswith("the database cannot be used: not authorized on loa to execute command")
    assert "sesame" not in found


async def test_problems_with_tls_are_named(tmp_path: Path) -> None:
    """A certificate that does not verify, and plain text to a port for TLS."""
    key, _, certificate = SELF_SIGNED.partition("-----BEGIN CERTIFICATE")
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "certificate.pem").write_text(f"-----BEGIN CERTIFICATE{certificate}")
    files = ("--tls-cert-file", str(tmp_path / "certificate.pem"), "--tls-key-file", str(tmp_path / "key.pem"))
    with database(tmp_path, *files) as port:
        address = f"mongodb://127.0.0.1:{port}/loa?directConnection=true"
        with MongoClient[Any](f"{address}&tls=true&tlsInsecure=true") as client:
            client.admin.command("ping")
        found = await problem(f"{address}&tls=true")
        assert found.startswith("the database cannot be reached: ")
        assert "certificate verify failed: self-signed certificate" in found
        assert "(does the server expect TLS?)" in await problem(address)


async def test_a_command_that_the_database_does_not_have_is_named(datastores: Datastores) -> None:
    """In the server's words."""
    async with MongoProxy(datastores.database("release_refused")) as proxy:
        proxy.unresponsive, proxy.code = True, 238
        assert "the database cannot be used: rejected by the test" == await problem(proxy.url)


async def test_an_option_that_the_database_ignores_is_named(mongo: Mongo, datastores: Datastores) -> None:
    """Some databases accept options of indexes that they do not have."""
    requests = IndexRequests()
    recorded = Mongo(datastores.database(mongo.database.name), [requests])
    await recorded.database.things.create_index("expires_at", expireAfterSeconds=0)
    await recorded.database.things.create_index("name", unique=True)
    assert await requests.ignored(mongo.database) is None
    await mongo.database.things.drop_index("expires_at_1")
    await mongo.database.things.create_index("expires_at")
    assert "expireAfterSeconds of the index expires_at_1 on things" == await requests.ignored(mongo.database)
    recorded.close()
