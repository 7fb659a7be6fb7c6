"""The embedded servers: real ones, started for whatever URL is missing."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.settings import Settings
from service.common.child_process import Child, ChildFailed
from service.common.tasks import cancel_and_wait
from service.datastores.data_directory import DataDirectory, DirectoryUnusable
from service.datastores.embedded import RedisServer, embedded, socket_path
from service.datastores.mongo import Mongo
from service.datastores.redis import connect
from tests.running import alive, descendants


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[Settings, list[Child], list[str]]]:
    said: list[str] = []
    with DataDirectory(settings.data_dir) as directory:
        async with embedded(settings, directory, said.append) as (found, servers):
            yield found, servers, said


def processes(mark: str) -> list[int]:
    return [child.pid for child in descendants(os.getpid()) if mark in child.command]


async def test_both_servers_start_and_keep_what_they_were_given(tmp_path: Path) -> None:
    """Their files are in the data directory: what was stored is there at the next start, and so is the secret."""
    settings = Settings(data_dir=tmp_path / "data")
    secrets = set()
    for visit in range(2):
        async with started(settings) as (found, servers, _):
            assert found.mongodb_uri
            assert found.redis_url
            secrets.add(found.jwt_secret)
            assert 2 == len(servers)
            mongo, redis = Mongo(found.mongodb_uri), connect(found.redis_url)
            await mongo.database.visits.insert_one({"visit": visit})
            assert visit + 1 == await mongo.database.visits.count_documents({})
            assert visit + 1 == await redis.incr("visits")
            await redis.aclose()
            mongo.close()
            assert found.redis_url == DataDirectory(settings.data_dir).read("redis.url")
        assert not processes(str(settings.data_dir))
        assert not (settings.data_dir / "redis.url").exists()
    assert 1 == len(secrets)


async def test_only_what_is_missing_starts(tmp_path: Path) -> None:
    """A URL that is set is left as it is."""
    settings = Settings(data_dir=tmp_path, mongodb_uri="mongodb://example.org/loa", jwt_secret="x" * 32)
    async with started(settings) as (found, servers, _):
        assert ["the embedded Redis"] == [server.name for server in servers]
        assert (settings.mongodb_uri, settings.jwt_secret) == (found.mongodb_uri, found.jwt_secret)
        assert (found.redis_url or "").startswith("unix://")


async def test_a_long_path_gets_a_short_private_socket(tmp_path: Path) -> None:
    """A unix socket's path has room for about a hundred bytes; it goes away with the server."""
    directory = tmp_path / ("long-" * 20)
    settings = Settings(data_dir=directory, mongodb_uri="mongodb://example.org/loa", jwt_secret="x" * 32)
    path = socket_path(DataDirectory(directory))
    assert len(os.fsencode(path)) <= 100
    async with started(settings) as (found, _, _):
        assert found.redis_url
        redis = connect(found.redis_url)
        assert await redis.ping()
        await redis.aclose()
        assert 0o700 == path.parent.stat().st_mode & 0o777
    assert not path.parent.exists()


def test_a_short_name_that_others_can_open_is_refused(tmp_path: Path) -> None:
    """Somebody may have made it in wait for us."""
    directory = DataDirectory(tmp_path / ("long-" * 20))
    waiting = socket_path(directory).parent
    waiting.chmod(0o777)
    try:
        with pytest.raises(DirectoryUnusable, match="not a private directory"):
            socket_path(directory)
    finally:
        waiting.rmdir()


async def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    """And leaves nothing running, the other server included."""
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ChildFailed) as caught:
        async with started(Settings(data_dir=tmp_path)):
            pass
    message = str(caught.value)
    assert message.startswith("the embedded Redis did not start (exit code 1); the end of ")
    assert "manifest" in message
    assert not processes(str(tmp_path))


@pytest.mark.parametrize("mark", ["secantus", "valkey-server"])
async def test_a_server_that_is_killed_is_started_again_in_its_place(tmp_path: Path, mark: str) -> None:
    """On the address of before, so that every client finds it, and with everything that it had acknowledged."""
    async with started(Settings(data_dir=tmp_path)) as (found, servers, said):
        assert found.mongodb_uri
        assert found.redis_url
        mongo, redis = Mongo(found.mongodb_uri), connect(found.redis_url)
        await mongo.database.kept.insert_one({})
        await redis.set("kept", 1)
        keeping = [asyncio.create_task(server.keep()) for server in servers]
        (pid,) = (pid for pid in processes(mark) if f"{tmp_path}" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while not (said and said[-1].endswith("runs again")):
                await asyncio.sleep(0.02)
        assert "ended (SIGKILL); it starts again in 0.2 s" in said[0]
        assert not alive(pid)
        assert 1 == await mongo.database.kept.count_documents({})
        assert b"1" == await redis.get("kept")
        for task in keeping:
            await cancel_and_wait(task)
        await redis.aclose()
        mongo.close()


async def test_ctrl_c_does_not_reach_them(tmp_path: Path) -> None:
    """They are in sessions of their own: a terminal signals whole groups, and the workers still need them to drain."""
    with DataDirectory(tmp_path) as directory:
        server = RedisServer(directory, print)
        await server.start()
        (pid,) = processes(f"{tmp_path}")
        assert pid == os.getsid(pid) != os.getsid(0)
        await server.stop(5)
