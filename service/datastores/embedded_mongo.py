"""The embedded MongoDB as a process of its own: SecantusDB on a unix socket that only its owner can open.

SecantusDB itself listens on TCP, where every account of the machine could read the password hashes. The parent runs
this file as a script, which imports nothing that takes long.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from secantus.server import SecantusDBServer

# The folder of this script is not on the path: its `redis.py` would hide the package.
sys.path.append(str(Path(__file__).parents[2]))
from service.datastores import secantus_patches
from service.datastores.secantus_patches.seldom import prune_seldom

ADDRESS = ("localhost", 27017)
"""What the server reports as its own and its clients' address. Nobody connects to it."""
PRIVATE_FILE = 0o600


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
    secantus_patches.apply()
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
