"""The npm packages that the tests of this folder use."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parent / "node"


def need(*programs: str) -> None:
    """Skip the test if one of these programs is missing; in CI, fail."""
    if missing := [program for program in programs if not shutil.which(program)]:
        reason = f"{', '.join(missing)} not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `node/` with exactly the packages of its package-lock.json."""
    need("node", "npm")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(NODE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder
