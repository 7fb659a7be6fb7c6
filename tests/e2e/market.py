"""The example in config/examples, started by the commands of its README, with Loa beside it."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from tests.rest import free_port
from tests.running import ROOT, eventually

EXAMPLE = "config/examples"
INSTALL_TIMEOUT = 300
START_TIMEOUT = 60
STOP_TIMEOUT = 40
NOT_COPIED = shutil.ignore_patterns("node_modules", "build", ".venv", "__pycache__", "market.*")


class Program:
    """A script that runs a server in the foreground, as in a terminal. `url` answers 200 when the server is ready."""

    def __init__(self, script: str, folder: Path, url: str, environment: Mapping[str, str]) -> None:
        self._script = script
        self._folder = folder
        self._url = url
        self._environment = os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        output = self._folder / "output.log"
        with output.open("ab") as log:
            process = self._process = subprocess.Popen(
                ["bash", "-ec", self._script],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def is_ready() -> bool:
            assert process.poll() is None, output.read_text()
            try:
                return httpx.get(self._url, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_ready, START_TIMEOUT)

    def stop(self) -> None:
        """Do what Ctrl-C does in a terminal, and wait."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait(STOP_TIMEOUT)


class Market:
    """The market and its Loa, each on a free port, in a copy of the repository."""

    def __init__(self, folder: Path) -> None:
        for part in ("service", "config"):
            shutil.copytree(ROOT / part, folder / part, ignore=NOT_COPIED)
        # Loa is installed as the repository's README says: by the Python that runs the tests.
        (folder / ".venv").symlink_to(sys.prefix)
        self.folder = folder / EXAMPLE
        loa_port, port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        readme = (self.folder / "README.md").read_text()
        readme = readme.replace("127.0.0.1:8000", f"127.0.0.1:{loa_port}").replace("8100", str(port))
        self._install, start_loa, start_market = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
        loa_variables = {"HOST": "127.0.0.1", "PORT": str(loa_port)}
        self.loa = Program(start_loa, folder, f"http://127.0.0.1:{loa_port}/readyz", loa_variables)
        self.site = Program(start_market, folder, self.url, {})

    def install(self) -> None:
        installed = subprocess.run(
            ["bash", "-ec", self._install],
            cwd=self.folder.parent.parent,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT,
        )
        assert 0 == installed.returncode, installed.stdout

    def webhooks(self) -> list[str]:
        """Return the types of the webhooks that it has received and stored, sorted."""
        with closing(sqlite3.connect(self.folder / "market.db")) as database:
            return sorted(type for (type,) in database.execute("SELECT type FROM webhooks"))

    def messages_about(self, offer: str) -> int:
        """Return how many messages it has counted about the offer with this URL."""
        with closing(sqlite3.connect(self.folder / "market.db")) as database:
            post = (int(offer.rpartition("/")[2]),)
            return int(database.execute("SELECT messages FROM posts WHERE id = ?", post).fetchone()[0])


@contextmanager
def running_market(folder: Path) -> Iterator[Market]:
    """Install and start both by the commands of the example's README."""
    market = Market(folder)
    market.install()
    try:
        market.loa.start()
        market.site.start()
        yield market
    finally:
        market.site.stop()
        market.loa.stop()
