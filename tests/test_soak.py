"""The soak run in its smallest size, and its measure of memory growth."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.running import ROOT
from tests.soak.__main__ import MAX_LEFTOVER
from tests.soak.resource_usage import ResourceUsage, memory_growth_rate


@pytest.mark.scenario
def test_a_short_soak_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """It counts its actions, draws its chart, and leaves no file open on the server."""
    chart = tmp_path / "memory.svg"
    command = ("--minutes", "0.2", "--people", "8", "--chart", str(chart))
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "" == done.stderr
    *lines, what, conclusion = done.stdout.splitlines()
    assert len(lines) > 30
    columns = r" +[\d.]+ s +[\d.]+ MB +\d+ files +\d+ threads +\d+ tasks +[\d,]+ done"
    assert all(re.fullmatch(columns, line) for line in lines)
    for kind in ("send_message", "typing", "read", "received", "reconnects"):
        assert kind in what
    # A few seconds are too short to judge memory; everything else is released at once.
    left = [int(number) for number in re.findall(r"(-?\d+) (?:files|threads|tasks)", conclusion.partition("left:")[2])]
    assert len(left) == 3
    assert max(left) <= MAX_LEFTOVER
    assert "polyline" in [element.tag.rpartition("}")[2] for element in ElementTree.parse(chart).iter()]


def test_memory_growth_is_measured_over_the_second_half() -> None:
    """Caches that fill in the first half do not count; a leak does."""
    filling = [ResourceUsage(second, min(second, 50) * 1000, 1, 1, 1, 0) for second in range(100)]
    leaking = [ResourceUsage(second, 10**8 + second * 1000, 1, 1, 1, 0) for second in range(100)]
    assert abs(memory_growth_rate(filling)) < 1
    assert 1000 == round(memory_growth_rate(leaking))
