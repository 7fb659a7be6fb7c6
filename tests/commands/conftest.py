"""Running a command in the test's own process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.__main__ import main

Command = Callable[..., tuple[int, str]]
"""`command("release", MONGODB_URI=…)` runs `python -m service release` and returns its exit code and all its output."""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """See `Command`. A test with an event loop calls it in a thread."""

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name, value in {"DATA_DIR": str(tmp_path / "data"), **environment}.items():
                patch.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as exit_:
                code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run
