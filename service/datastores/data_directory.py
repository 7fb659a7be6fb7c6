"""The data directory: the embedded servers' files and the generated secret, one running Loa's at a time."""

import fcntl
import os
import secrets
from pathlib import Path

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


class DirectoryUnusable(Exception):
    """It is held by another process, or not ours to write. The message is one line."""


class DataDirectory:
    """A directory with private files; as a context manager, held by a lock for as long as the block lasts.

    The lock is the kernel's (`flock`) and dies with its process, whatever ends it; the lock file's content, a process
    id, only serves the message. Children do not inherit it: Python opens files close-on-exec.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = -1

    def __enter__(self) -> "DataDirectory":
        """Raises DirectoryUnusable."""
        try:
            self.path.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        except OSError as error:
            raise DirectoryUnusable(f"DATA_DIR: {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode(errors="replace").strip()
            os.close(lock)
            raise DirectoryUnusable(f"DATA_DIR: {self.path} is in use by process {holder or '(unknown)'}") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)  # the file stays: without it, two processes could hold two locks of one name

    def subdirectory(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(PRIVATE_DIRECTORY, exist_ok=True)
        return path

    def secret(self) -> str:
        """The generated secret of this directory, 64 hex digits; made at the first call ever."""
        if not self.read("secret"):
            self.write("secret", secrets.token_hex(32))
        return self.read("secret")

    def read(self, name: str) -> str:
        """What `write` has put there; empty where it has not."""
        try:
            return (self.path / name).read_text().strip()
        except OSError:
            return ""

    def write(self, name: str, text: str) -> None:
        """Put a private file there, whole or not at all."""
        draft = self.path / f"{name}.new"
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
