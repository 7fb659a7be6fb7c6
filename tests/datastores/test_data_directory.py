"""The data directory: one owner at a time, private, and never half-written."""

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


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    """In one line, with the process id; the first is not disturbed."""
    with DataDirectory(tmp_path), pytest.raises(DirectoryUnusable) as caught, DataDirectory(tmp_path):
        pass
    assert f"DATA_DIR: {tmp_path} is in use by process {os.getpid()}" == str(caught.value)
    with DataDirectory(tmp_path):
        pass


def test_a_holder_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    """The lock is the kernel's; the file that is left behind is only a name."""
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


def test_it_is_made_private(tmp_path: Path) -> None:
    """The directory, and every file in it, is its owner's alone; a directory that was there keeps its mode."""
    made = DataDirectory(tmp_path / "a" / "b")
    with made:
        made.write("word", "text")
        secret = made.secret()
        assert 64 == len(secret)
        assert secret == made.secret()
    assert 0o700 == made.path.stat().st_mode & 0o777
    assert {0o600} == {file.stat().st_mode & 0o777 for file in made.path.iterdir()}
    assert {"lock", "word", "secret"} == {file.name for file in made.path.iterdir()}
    (tmp_path / "shared").mkdir(mode=0o755)
    with DataDirectory(tmp_path / "shared"):
        assert 0o755 == (tmp_path / "shared").stat().st_mode & 0o777


def test_what_is_no_directory_is_told(tmp_path: Path) -> None:
    """In one line that names the variable."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryUnusable, match=r"^DATA_DIR: .*file: File exists$"), DataDirectory(tmp_path / "file"):
        pass


def test_a_draft_that_a_crash_left_is_written_anew(tmp_path: Path) -> None:
    """So a secret is whole or not there."""
    (tmp_path / "secret.new").write_text("half a se")
    with DataDirectory(tmp_path) as directory:
        assert 64 == len(directory.secret())
    assert not (tmp_path / "secret.new").exists()
