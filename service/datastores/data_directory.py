"""The data directory: files of the embedded servers and the generated secret. One running Loa uses it at a time."""

import fcntl
import os
import secrets
import shlex
from pathlib import Path
from typing import BinaryIO

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


WRITABLE_BY_OTHERS = 0o022


class DirectoryUnusable(Exception):
    """The directory is locked by another process, not writable, or writable by others. The message is one line."""


class DataDirectory:
    """A directory with private files. As a context manager it is locked while the block runs.

    The kernel's lock (`flock`) is released when the process ends for any reason. The lock file contains the process id,
    only for the error message. Child processes do not inherit the lock: Python opens files close-on-exec.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = -1

    def __enter__(self) -> "DataDirectory":
        """Create and lock the directory. Raises DirectoryUnusable."""
        try:
            self.path.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            _check_owner(self.path)
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
        # The file stays: if it were deleted, two processes could lock two different files of that name.
        os.close(self._lock)

    def subdirectory(self, name: str) -> Path:
        """Return a private directory, created if it is missing. Raises DirectoryUnusable."""
        path = self.path / name
        try:
            path.mkdir(PRIVATE_DIRECTORY, exist_ok=True)
            _check_owner(path)
        except OSError as error:
            raise DirectoryUnusable(f"DATA_DIR: {path}: {error.strerror}") from error
        return path

    def secret(self) -> str:
        """Return the secret of this directory, 64 hex digits. The first call generates it."""
        if not self.read("secret"):
            self.write("secret", secrets.token_hex(32))
        return self.read("secret")

    def read(self, name: str) -> str:
        """Return the text that `write` stored, or an empty string. Raises DirectoryUnusable if it is not text."""
        try:
            return (self.path / name).read_text("utf-8").strip()
        except OSError:
            return ""
        except UnicodeDecodeError as error:
            raise DirectoryUnusable(f"DATA_DIR: {self.path / name}: is not a text file") from error

    def write(self, name: str, text: str) -> None:
        """Store a private file atomically. Raises DirectoryUnusable."""
        temporary = self.path / f"{name}.new"
        try:
            temporary.unlink(missing_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        except OSError as error:
            raise DirectoryUnusable(f"DATA_DIR: {self.path / name}: {error.strerror}") from error

    def create(self, name: str) -> BinaryIO:
        """Open an empty private file for writing. Raises DirectoryUnusable."""
        try:
            return open(os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb")
        except OSError as error:
            raise DirectoryUnusable(f"DATA_DIR: {self.path / name}: {error.strerror}") from error

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


def _check_owner(path: Path) -> None:
    """Raise DirectoryUnusable if another user could replace the files in `path`: the secret is among them."""
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise DirectoryUnusable(f"DATA_DIR: {path} belongs to another user")
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise DirectoryUnusable(f"DATA_DIR: {path} can be written by other users; chmod go-w {shlex.quote(str(path))}")
