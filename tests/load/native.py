"""C programs, built when they are first needed."""

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class BuildError(Exception):
    """There is no C compiler, or the build failed. The message says which."""


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(source: str, directory: Path, *options: str) -> Path:
    """Build the program or library of `source`, a file beside this one; the result's name depends on the content.

    Raises BuildError.
    """
    path = HERE / source
    found = compiler()
    if not found:
        raise BuildError("a C compiler is needed: on Debian `apt-get install gcc libc6-dev`")
    digest = hashlib.sha256(path.read_bytes() + repr(options).encode()).hexdigest()[:12]
    built = directory / f"{path.stem}-{digest}"
    if not built.exists():
        directory.mkdir(parents=True, exist_ok=True)
        temporary = built.with_suffix(".new")
        done = subprocess.run(
            [found, "-O2", "-Wall", "-Wextra", *options, "-o", str(temporary), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(f"{source} does not build: {done.stderr.strip()}")
        temporary.replace(built)
    return built
