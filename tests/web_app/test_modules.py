"""Runs the unit tests of the app's modules that need no browser, under node without packages."""

import subprocess
from pathlib import Path

MODULES = Path(__file__).parent / "modules"


def test_unit_tests_pass(node: str) -> None:
    files = sorted(map(str, MODULES.glob("*.test.js")))
    command = [node, "--no-warnings", "--test", *files]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert completed.returncode == 0, completed.stdout
