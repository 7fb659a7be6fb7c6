"""Runs the unit tests of the app's modules that need no browser, under node without packages."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "modules"


def test_unit_tests_pass() -> None:
    if not shutil.which("node"):
        reason = "needs node 20 or later"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    files = sorted(map(str, MODULES.glob("*.test.js")))
    command = ["node", "--no-warnings", "--test", *files]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert completed.returncode == 0, completed.stdout
