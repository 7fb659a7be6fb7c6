"""The deployment files of `config/`: what they name exists. test_reverse_proxies.py runs the proxies' ones."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from service.__main__ import parser
from tests.running import ROOT

DOCKERFILE = (ROOT / "config/docker/Dockerfile").read_text()
UNIT = ROOT / "config/systemd/loa.service"


def test_the_image_holds_everything_that_the_service_imports(tmp_path: Path) -> None:
    """What the Dockerfile copies is enough to load the whole service, and the parts that only some settings load."""
    copied = re.findall(r"^COPY (?!--from|requirements)(.+) (\S+)$", DOCKERFILE, re.MULTILINE)
    for sources, target in copied:
        for source in sources.split():
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target)
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(ROOT / source, tmp_path / target)
    modules = ["service.app", "service.processes.worker", "service.processes.supervisor"]
    modules += [f"config.{file.stem}" for file in (ROOT / "config").glob("*.py")]
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    loaded = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 0 == loaded.returncode, loaded.stderr


def test_the_context_of_the_image_holds_everything_that_it_copies() -> None:
    ignored = (ROOT / "config/docker/Dockerfile.dockerignore").read_text().splitlines()
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [name for line in lines for name in line.split()]
    assert set(sources) == {line[1:] for line in ignored if line.startswith("!")}


def test_the_image_installs_the_lock_with_hashes() -> None:
    assert re.search(r"^RUN .*pip install .*--require-hashes -r \S*requirements\.txt", DOCKERFILE, re.MULTILINE)


def test_the_unit_runs_commands_that_exist() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(UNIT)
    for name in ("ExecStartPre", "ExecStart"):
        command = unit["Service"][name].split()
        assert ["-m", "service"] == command[1:3]
        parser().parse_args(command[3:])
