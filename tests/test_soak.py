"""The soak at its smallest size, and that it would tell a server that grows from one that does not."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.running import ROOT
from tests.soak.__main__ import KEPT
from tests.soak.vitals import Vitals, growth


def test_a_soak_of_seconds(tmp_path: Path) -> None:
    """It runs, counts what it did, draws its chart, and leaves no file open on the server."""
    chart = tmp_path / "memory.svg"
    command = ("--minutes", "0.2", "--people", "8", "--chart", str(chart))
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "" == done.stderr
    *lines, what, verdict = done.stdout.splitlines()
    assert len(lines) > 30
    columns = r" +[\d.]+ s +[\d.]+ MB +\d+ files +\d+ threads +\d+ tasks +[\d,]+ done"
    assert all(re.fullmatch(columns, line) for line in lines)
    for kind in ("send_message", "typing", "read", "received", "came and went"):
        assert kind in what
    # So few seconds are too short to say that memory stays; the rest is back at once.
    left = [int(number) for number in re.findall(r"(-?\d+) (?:files|threads|tasks)", verdict.partition("left:")[2])]
    assert len(left) == 3
    assert max(left) <= KEPT
    assert "polyline" in [element.tag.rpartition("}")[2] for element in ElementTree.parse(chart).iter()]


def test_growth_is_that_of_the_second_half() -> None:
    """Caches that fill at first are none; a leak is."""
    filling = [Vitals(second, min(second, 50) * 1000, 1, 1, 1, 0) for second in range(100)]
    leaking = [Vitals(second, 10**8 + second * 1000, 1, 1, 1, 0) for second in range(100)]
    assert abs(growth(filling)) < 1
    assert 1000 == round(growth(leaking))
