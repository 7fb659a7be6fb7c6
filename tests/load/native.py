"""What is written in C, built when it is first needed."""

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class CannotBuild(Exception):
    """There is no C compiler, or it refused. The message says which."""


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(source: str, directory: Path, *options: str) -> Path:
    """The program or library of `source`, a file beside this one; its name changes with its content.

    Raises CannotBuild.
    """
    path = HERE / source
    found = compiler()
    if not found:
        raise CannotBuild("a C compiler is needed: on Debian `apt-get install gcc libc6-dev`")
    digest = hashlib.sha256(path.read_bytes() + repr(options).encode()).hexdigest()[:12]
    built = directory / f"{path.stem}-{digest}"
    if not built.exists():
        directory.mkdir(parents=True, exist_ok=True)
        draft = built.with_suffix(".new")
        done = subprocess.run(
            [found, "-O2", "-Wall", "-Wextra", *options, "-o", str(draft), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotBuild(f"{source} does not build: {done.stderr.strip()}")
        draft.replace(built)
    return built
