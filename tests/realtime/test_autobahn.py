"""Loa's WebSocket in the cases of the Autobahn test suite."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DECLINED = {f"13.{group}.{case}" for group in (3, 5) for case in range(1, 19)}
"""These ask for a window of 512 bytes. The offer is declined, and the suite has nothing to test."""


@pytest.fixture
def echo_port() -> Iterator[str]:
    """The port of an echo server in a separate process."""
    process = subprocess.Popen([sys.executable, "-m", "tests.realtime.echo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)


def test_it_passes_the_autobahn_cases(echo_port: str, tmp_path: Path) -> None:
    """All except performance (9)."""
    options = ["-p", "4", "-o", str(tmp_path), "-x", "9.*"]
    command = [sys.executable, "-m", "tests.realtime.autobahn", *options, f"ws://127.0.0.1:{echo_port}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    # On the standard error: what failed. On the other: where the reports are.
    lines = {line.split(":")[0].strip(): line for line in result.stderr.splitlines() if "behavior=" in line}
    assert lines.keys() == DECLINED, result.stderr
    assert all("behavior=UNIMPLEMENTED" in line for line in lines.values()), result.stderr
    assert "463 cases" in result.stdout, result.stdout
