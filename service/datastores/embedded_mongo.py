"""The embedded MongoDB as a process of its own: SecantusDB on a unix socket that only its owner can open.

SecantusDB itself listens on TCP, where every account of the machine could read the password hashes. The parent runs
this file as a script; it imports nothing else of the service.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import FrameType
from typing import Any

import bson
import wiredtiger
from secantus import storage
from secantus.server import SecantusDBServer

ADDRESS = ("localhost", 27017)
"""What the server reports as its own and its clients' address. Nobody connects to it."""
PRIVATE_FILE = 0o600
PRUNE_INTERVAL = 10.0
"""Seconds between two searches for sessions, and for retryable writes, that have ended."""


class Listener:
    """A listening unix socket with the part of a TCP socket's interface that SecantusDB uses."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode that `bind` gives the file: nobody else can connect before `chmod`.
        mask = os.umask(0o777 & ~PRIVATE_FILE)
        try:
            self._socket.bind(path)
        finally:
            os.umask(mask)
        self._socket.listen(socket.SOMAXCONN)

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        return self._socket.accept()[0], ADDRESS

    def getsockname(self) -> tuple[str, int]:
        return ADDRESS

    def close(self) -> None:
        # Without `shutdown`, the thread that waits in `accept` would not notice.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def prune_seldom(registry: Any, method: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Let `registry` call its `method`, which drops what is too old, at most once in PRUNE_INTERVAL.

    SecantusDB calls it with every command, to go through all sessions, and twice with every write, to go through the
    last 10,000 writes. They tripled the processor time of a write.
    """
    prune, pruned_at = getattr(registry, method), clock()

    def prune_if_due() -> int:
        nonlocal pruned_at
        if clock() - pruned_at < PRUNE_INTERVAL:
            return 0
        pruned_at = clock()
        return int(prune() or 0)

    setattr(registry, method, prune_if_due)


@lru_cache(maxsize=4096)
def index_definition(key: bytes, value: bytes) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return name, key and options of the index that is stored like this."""
    definition = bson.decode(value)
    return key.split(b"\0")[2].decode(), definition.get("key", {}), definition.get("options", {})


def iterate_indexes(self: Any, database: str, collection: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Iterate over the indexes of a collection, in place of `Storage._iter_indexes`.

    That one decodes each definition again, and a write iterates a dozen times.
    """
    cursor = self._cursor(storage._IDX_TABLE)
    cursor.set_key(database, collection, "")
    found = cursor.search_near()
    if found == wiredtiger.WT_NOTFOUND or (found < 0 and cursor.next() != 0):
        return
    prefix = f"{database}\0{collection}\0".encode()
    while (key := cursor._get_key()).startswith(prefix):
        name, fields, options = index_definition(key, cursor._get_value())
        yield name, dict(fields), dict(options)
        if cursor.next() != 0:
            return


class UnixSocketServer(SecantusDBServer):  # type: ignore[misc]
    """SecantusDB, listening on a unix socket."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(*ADDRESS, **options)
        self._path = path
        prune_seldom(self.sessions, "_prune_locked")
        prune_seldom(self.transactions, "_prune_retryable_locked")

    def start(self) -> None:
        self._socket = Listener(self._path)
        self._thread = threading.Thread(target=self._serve_forever, name="accept", daemon=True)
        self._thread.start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--cache", required=True)
    arguments = parser.parse_args()
    storage.Storage._iter_indexes = iterate_indexes
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = UnixSocketServer(
        arguments.socket,
        storage_path=arguments.storage,
        cache_size=arguments.cache,
        enable_test_commands=False,
        sync_on_commit=True,  # without it a kill -9 lost 29 of 1,000 acknowledged writes
    )

    def stop(number: int, frame: FrameType | None) -> None:
        server.stop()
        # See `service.__main__`.
        gc.freeze()
        sys.exit(0)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    server.start()
    server.wait()


if __name__ == "__main__":
    main()
