"""The runtimes of the peers: packages of PyPI, npm and Debian and compiled programs, each in its own directory."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.load import native

PYTHON_PACKAGES = (
    "fastapi==0.163.2",
    "uvicorn[standard]==0.54.0",
    "python-socketio==5.18.1",
    "sse-starlette==3.7.0",
    "motor==3.7.1",
)
NODE_PACKAGES = ("ws@8.23.0", "socket.io@4.8.4")
DEBIAN_PACKAGES = ("nginx", "libnginx-mod-nchan")
CENTRIFUGO = "github.com/centrifugal/centrifugo/v6@v6.9.1"
MERCURE = "github.com/dunglas/mercure/cmd/mercure@v0.21.0"
INSTALL_LIMIT = 600.0
BUILD_LIMIT = 3600.0
"""Seconds for a large Go program, with all that it is made of."""

MODULE = "usr/lib/nginx/modules/ngx_nchan_module.so"
ROOTS_PATH, OWN_PATH = b"/var/lib/nginx/body\0", b"nchan_message_store\0"
"""nchan creates a directory for messages too large for memory. Its setting for that directory is always rejected as a
duplicate, and the default cannot be created without root. So our unpacked copy is patched to use a path of the same
length below nginx's prefix."""


class InstallError(Exception):
    """The installation failed. The message says why in one line."""


class Runtime(Protocol):
    """A set of programs that peers need."""

    def missing(self) -> str:
        """Return in a few words what is missing, or ""."""
        ...

    def install(self) -> None:
        """Install the runtime. Raises InstallError."""
        ...


class Venv:
    """A virtual environment for the Python peers, separate from Loa's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "venv"
        self.python = str(self._directory / "bin" / "python")
        self._mark = self._directory / "installed"

    def missing(self) -> str:
        installed = self._mark.read_text() if self._mark.exists() else ""
        return "" if installed == "\n".join(PYTHON_PACKAGES) else "its venv is not installed"

    def install(self) -> None:
        run([sys.executable, "-m", "venv", str(self._directory)])
        run([self.python, "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES])
        self._mark.write_text("\n".join(PYTHON_PACKAGES))


class NodeModules:
    def __init__(self, directory: Path) -> None:
        self._directory = directory / "node"
        self.modules = self._directory / "node_modules"

    def missing(self) -> str:
        if not shutil.which("node"):
            return "there is no node"
        paths = [self.modules / package.partition("@")[0] for package in NODE_PACKAGES]
        return "" if all(path.exists() for path in paths) else "its node_modules are not installed"

    def install(self) -> None:
        if not shutil.which("npm"):
            raise InstallError("there is no npm")
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "package.json").write_text("{}")
        run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(self._directory), *NODE_PACKAGES])


class Nginx:
    """Debian's nginx with the nchan module: the installed one, or unpacked into a directory, which needs no root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "nginx"

    def missing(self) -> str:
        return "" if self.program() and self.module() else "nginx with nchan is not installed"

    def program(self) -> str | None:
        ours = self._directory / "usr/sbin/nginx"
        return str(ours) if ours.exists() else shutil.which("nginx", path="/usr/sbin:/usr/bin")

    def module(self) -> str | None:
        return next((str(root / MODULE) for root in (self._directory, Path("/")) if (root / MODULE).exists()), None)

    def install(self) -> None:
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise InstallError("there is no apt")
        self._directory.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "download", *DEBIAN_PACKAGES], self._directory)
        for package in sorted(self._directory.glob("*.deb")):
            run(["dpkg-deb", "--extract", str(package), str(self._directory)])
        module = self._directory / MODULE
        module.write_bytes(module.read_bytes().replace(ROOTS_PATH, OWN_PATH))


class Compiled:
    """A C program of this repository."""

    def __init__(self, source: str, directory: Path) -> None:
        self._source = source
        self._directory = directory

    def missing(self) -> str:
        return "" if native.compiler() else "there is no C compiler"

    def install(self) -> None:
        raise InstallError("there is no C compiler")

    def program(self) -> str:
        """Build the program and return its path. Raises BuildError."""
        return str(native.build(self._source, self._directory))


class GoProgram:
    """A Go program, built from the source of its module."""

    def __init__(self, module: str, directory: Path, tags: str = "") -> None:
        """`module`: its path and version; the program has the name of the repository. `tags`: those of the build."""
        self._module = module
        self._directory = directory / "go"
        self.program = self._directory / module.split("/")[2]
        self._tags = tags

    def missing(self) -> str:
        return "" if self.program.exists() else f"{self.program.name} is not built"

    def install(self) -> None:
        if not shutil.which("go"):
            raise InstallError("there is no go")
        run(
            ["env", f"GOBIN={self._directory}", "go", "install", f"-tags={self._tags}", self._module], limit=BUILD_LIMIT
        )


class CurrentPython:
    """The Python that runs Loa itself."""

    python = sys.executable

    def missing(self) -> str:
        return ""

    def install(self) -> None:
        """Do nothing: nothing is ever missing."""


def run(command: Sequence[str], directory: Path | None = None, limit: float = INSTALL_LIMIT) -> None:
    """Run an installation command. Raises InstallError."""
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=limit, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{command[0]}: {type(error).__name__}") from error
    if done.returncode:
        output = re.sub(r"\s+", " ", (done.stderr or done.stdout).strip())
        raise InstallError(f"{' '.join(command[:3])} … exited with {done.returncode}: {output[-200:]}")
