"""The data directory is locked, private, and never contains half-written files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.datastores.data_directory import DataDirectory, DirectoryUnusable

HOLD = """
import sys, pathlib
from service.datastores.data_directory import DataDirectory
with DataDirectory(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_locked_directory_names_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    """In one line, with the process id. The lock is not affected."""
    with DataDirectory(tmp_path), pytest.raises(DirectoryUnusable) as caught, DataDirectory(tmp_path):
        pass
    assert f"DATA_DIR: {tmp_path} is in use by process {os.getpid()}" == str(caught.value)
    with DataDirectory(tmp_path):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel releases it; the file stays."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(DirectoryUnusable, match=f"process {holder.pid}$"), DataDirectory(tmp_path):
            pass
        holder.kill()
    with DataDirectory(tmp_path):
        pass


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    """With all files in it. An existing directory keeps its mode."""
    directory = DataDirectory(tmp_path / "a" / "b")
    with directory:
        directory.write("word", "text")
        secret = directory.secret()
        assert 64 == len(secret)
        assert secret == directory.secret()
    assert 0o700 == directory.path.stat().st_mode & 0o777
    assert {0o600} == {file.stat().st_mode & 0o777 for file in directory.path.iterdir()}
    assert {"lock", "word", "secret"} == {file.name for file in directory.path.iterdir()}
    (tmp_path / "shared").mkdir(mode=0o755)
    with DataDirectory(tmp_path / "shared"):
        assert 0o755 == (tmp_path / "shared").stat().st_mode & 0o777


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """They could replace the secret."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    refused = pytest.raises(DirectoryUnusable, match=r"^DATA_DIR: .*can be written by other users; chmod go-w ")
    with refused, DataDirectory(tmp_path / "shared"):
        pass
    assert not list((tmp_path / "shared").iterdir())
    with DataDirectory(tmp_path / "own") as directory:
        (tmp_path / "own" / "mongodb").mkdir()
        (tmp_path / "own" / "mongodb").chmod(mode)
        with refused:
            directory.subdirectory("mongodb")


def test_unusable_files_are_named(tmp_path: Path) -> None:
    """In one line that names the variable and the file."""
    with DataDirectory(tmp_path) as directory:
        (tmp_path / "secret").write_bytes(b"\xff\xfe")
        with pytest.raises(DirectoryUnusable, match=r"^DATA_DIR: .*/secret: is not a text file$"):
            directory.secret()
        (tmp_path / "word").mkdir()
        for use in (directory.write, lambda name, _: directory.create(name)):
            with pytest.raises(DirectoryUnusable, match=r"^DATA_DIR: .*: Is a directory$"):
                use("word", "text")
        (tmp_path / "redis").write_text("")
        with pytest.raises(DirectoryUnusable, match=r"^DATA_DIR: .*redis: File exists$"):
            directory.subdirectory("redis")


def test_a_path_that_is_not_a_directory_is_reported(tmp_path: Path) -> None:
    """In one line that names the variable."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryUnusable, match=r"^DATA_DIR: .*file: File exists$"), DataDirectory(tmp_path / "file"):
        pass


def test_an_incomplete_file_of_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.new").write_text("half a se")
    with DataDirectory(tmp_path) as directory:
        assert 64 == len(directory.secret())
    assert not (tmp_path / "secret.new").exists()
