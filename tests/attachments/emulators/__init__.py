"""Emulators of object stores, each a process with the interface of S3 or Azure.

Google Cloud Storage is used by its XML API, which is that of S3 but for the names of some headers. Its own emulators
have no multipart uploads, so the one of S3 stands in for it.
"""

import base64
import hashlib
import hmac
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import httpx

from tests.interop.conftest import need
from tests.rest import free_port
from tests.running import eventually

HERE = Path(__file__).parent
CONTAINER = "files"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Those that every Azurite has."""
AZURE_VERSION = "2021-08-06"

Store = tuple[str, dict[str, str]]
"""The URL of a bucket or container, and the environment with which it is used."""


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Yield the address of a server with an empty bucket, CONTAINER. Installs moto in `folder`."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    requirements = ["--require-hashes", "-r", str(HERE / "requirements.txt")]
    subprocess.run([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", *requirements], check=True)
    port = free_port()
    with _running([str(folder / "bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, folder):
        endpoint = f"http://127.0.0.1:{port}"
        assert 200 == httpx.put(f"{endpoint}/{CONTAINER}").status_code
        yield endpoint


def s3(endpoint: str) -> Store:
    """Return the bucket of `moto`."""
    return f"s3://{CONTAINER}/prefix", {
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }


def google(endpoint: str) -> Store:
    """Return the bucket of `moto`, as if it were one of Google's."""
    return f"gs://{CONTAINER}/prefix", {"GOOGLE_BASE_URL": endpoint, "GOOGLE_BEARER_TOKEN": "token"}


@contextmanager
def azure(folder: Path) -> Iterator[Store]:
    """Yield an empty container of Azurite, which it installs in `folder`."""
    need("node", "npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
    port = free_port()
    options = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]
    program = str(folder / "node_modules/.bin/azurite-blob")
    with _running([program, *options, "--blobHost", "127.0.0.1", "--blobPort", str(port)], port, folder):
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        _create_container(endpoint)
        yield (
            f"az://{ACCOUNT}/{CONTAINER}/prefix",
            {
                "AZURE_STORAGE_ENDPOINT": endpoint,
                "AZURE_ALLOW_HTTP": "true",
                "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            },
        )


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: _answers(port), 60)
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/")
    except httpx.TransportError:
        return False
    return True


def _create_container(endpoint: str) -> None:
    """Create the container, with a request that is signed with the account's key ("Authorize with Shared Key")."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": AZURE_VERSION}
    signed = [f"{name}:{value}" for name, value in headers.items()]
    resource = [f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}", "restype:container"]
    text = "\n".join(["PUT", *[""] * 11, *signed, *resource])
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    response = httpx.put(f"{endpoint}/{CONTAINER}?restype=container", headers=headers)
    assert 201 == response.status_code, response.text
