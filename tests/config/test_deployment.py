"""The deployment files of `config/`: what they name exists, and nginx with them serves what a browser needs."""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.__main__ import parser
from service.common.child_process import die_with_parent
from service.datastores.embedded import free_port
from tests.running import ROOT, Server, eventually

DOCKERFILE = (ROOT / "config/docker/Dockerfile").read_text()
UNIT = ROOT / "config/systemd/loa.service"


def token_of(url: str, username: str) -> str:
    body = {"username": username, "password": "correct horse battery"}
    return str(httpx.post(f"{url}/api/v1/auth/register", json=body).raise_for_status().json()["access_token"])


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def nginx(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an nginx that runs `config/nginx/*.conf` on a port of its own, in front of the shared server."""
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    files = [ROOT / "config/nginx" / name for name in ("upstream.conf", "loa.conf")]
    site = "\n".join(file.read_text() for file in files)
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};")
    site = site.replace("server 127.0.0.1:8000;", f"server {urlsplit(server.url).netloc};")
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in temporary)
    # Without a master, nginx stays the user that runs the tests and may write into the folder.
    main = f"pid {folder}/pid; error_log {folder}/error.log; daemon off; master_process off; events {{}}"
    (folder / "nginx.conf").write_text(f"{main}\nhttp {{ access_log off; {paths}\n{site}\n}}\n")
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, preexec_fn=die_with_parent())  # noqa: PLW1509
    eventually(lambda: accepts_connections(port))
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.wait(10)


class TestNginx:
    async def test_a_page_of_this_origin_opens_a_socket(self, nginx: str) -> None:
        """The port is part of the origin, and nginx passes it on."""
        url = f"{nginx.replace('http', 'ws')}/api/v1/ws/chat?token={token_of(nginx, 'through_nginx')}"
        async with connect(url, origin=nginx) as websocket:  # type: ignore[arg-type]
            assert '"type":"hello"' in str(await websocket.recv())

    async def test_a_page_of_another_origin_does_not(self, nginx: str) -> None:
        url = f"{nginx.replace('http', 'ws')}/api/v1/ws/chat?token={token_of(nginx, 'elsewhere')}"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, origin="http://elsewhere.example")  # type: ignore[arg-type]
        assert 403 == refused.value.response.status_code

    async def test_the_stream_is_not_buffered(self, nginx: str) -> None:
        url = f"{nginx}/api/v1/notifications/stream?token={token_of(nginx, 'streaming')}"
        async with httpx.AsyncClient(timeout=5) as client, client.stream("GET", url) as response:
            async for line in response.aiter_lines():
                if line == "event: hello":
                    break
            else:
                pytest.fail("the stream ended before its hello")

    async def test_a_body_that_is_too_large_gets_the_answer_of_loa(self, nginx: str) -> None:
        answer = httpx.post(f"{nginx}/api/v1/auth/login", content=b"x" * 100_000)
        assert (413, "too_large") == (answer.status_code, answer.json()["code"])

    @pytest.mark.parametrize("path", ["/metrics", "/status"])
    async def test_the_pages_of_the_operator_are_closed(self, nginx: str, path: str) -> None:
        assert 403 == httpx.get(nginx + path).status_code


def test_the_image_holds_everything_that_the_service_imports(tmp_path: Path) -> None:
    """What the Dockerfile copies is enough to load the whole service."""
    copied = re.findall(r"^COPY (?!--from|requirements)(.+) (\S+)$", DOCKERFILE, re.MULTILINE)
    for sources, target in copied:
        for source in sources.split():
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target)
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(ROOT / source, tmp_path / target)
    command = [sys.executable, "-c", "import service.app, service.processes.worker, service.processes.supervisor"]
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    loaded = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert 0 == loaded.returncode, loaded.stderr


def test_the_context_of_the_image_holds_everything_that_it_copies() -> None:
    ignored = (ROOT / "config/docker/Dockerfile.dockerignore").read_text().splitlines()
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [name for line in lines for name in line.split()]
    assert set(sources) == {line[1:] for line in ignored if line.startswith("!")}


def test_the_unit_runs_commands_that_exist() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(UNIT)
    for name in ("ExecStartPre", "ExecStart"):
        command = unit["Service"][name].split()
        assert ["-m", "service"] == command[1:3]
        parser().parse_args(command[3:])
