"""The command line: the output and the exit code of each command."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect

from config.settings import Settings
from service.datastores.mongo import Mongo
from tests.commands.conftest import Command
from tests.conftest import SECRET, Datastores, Run
from tests.protocol.mongo_proxy import MongoProxy
from tests.running import ROOT, Server, alive, eventually, spawn

UNREACHABLE = "mongodb://127.0.0.1:1/loa"
CONNECTION_REFUSED = "MONGODB_URI: the database cannot be reached: 127.0.0.1:1: [Errno 111] Connection refused"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("WEB_CONCURRENCY", "none"), ("JWT_SECRET", "short"), ("MONGODB_URI", UNREACHABLE)],
)
@pytest.mark.parametrize("arguments", [(), ("release",), ("announce", "Hello")])
def test_an_invalid_setting_stops_every_command_with_one_line(
    command: Command, name: str, value: str, arguments: tuple[str, ...]
) -> None:
    """The line names the variable to change; for MONGODB_URI that is the secret, which it requires."""
    code, output = command(*arguments, **{name: value})
    assert 2 == code
    assert output.startswith(f"loa: {'JWT_SECRET' if name == 'MONGODB_URI' else name}: ")
    assert 1 == output.count("\n")


def test_help_names_every_public_command_and_every_setting(command: Command) -> None:
    code, output = command("--help")
    assert 0 == code
    for name in (
        "announce",
        "release",
        "delete-user",
        "grant",
        "revoke",
        "reset-password",
        *(field.upper() for field in Settings.model_fields),
    ):
        assert name in output
    assert not re.search(r"^ +worker", output, re.MULTILINE)


def test_an_unknown_command_exits_with_2(command: Command) -> None:
    code, output = command("sevre")
    assert 2 == code
    assert "invalid choice: 'sevre'" in output


def test_a_command_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    """Its exit code is that of the process."""
    process = spawn(["release"], {"DATA_DIR": str(tmp_path / "data")}, tmp_path / "command.log")
    assert (0, 1) == (process.wait(), process.text.count("\n"))
    process = spawn(["announce", ""], {"DATA_DIR": str(tmp_path / "data")}, tmp_path / "command.log")
    assert (1, 1) == (process.wait(), process.text.count("\n"))


async def test_release_prepares_the_database_any_number_of_times(command: Command, datastores: Datastores) -> None:
    """The second run leaves the indexes of the first as they are."""
    uri = datastores.database(f"release_{uuid4().hex}")
    mongo = Mongo(uri)
    indexes = []
    for _ in range(2):
        released = await asyncio.to_thread(command, "release", MONGODB_URI=uri, JWT_SECRET=SECRET)
        assert (0, "The database is prepared.\n") == released
        names = sorted(await mongo.database.list_collection_names())
        indexes.append({name: await mongo.database[name].index_information() for name in names})
    assert indexes[0] == indexes[1]
    assert "users" in indexes[0]
    assert any(index.get("unique") for index in indexes[0]["messages"].values())
    await mongo.database.client.drop_database(mongo.database.name)
    mongo.close()


def test_release_without_a_database_does_nothing(command: Command, tmp_path: Path) -> None:
    """Every start prepares the embedded database."""
    code, output = command("release")
    assert (0, 1) == (code, output.count("\n"))
    assert not (tmp_path / "data").exists()


def test_release_reports_an_unreachable_database_in_one_line(command: Command) -> None:
    expected = (1, f"loa: {CONNECTION_REFUSED}\n")
    assert expected == command("release", MONGODB_URI=UNREACHABLE, JWT_SECRET=SECRET)


@pytest.mark.parametrize(
    "uri", ["mongodb://", "mongodb://an:pass/word@localhost/loa", "mongodb://an:pass:word@localhost/loa"]
)
def test_release_reports_an_invalid_uri_without_quoting_it(command: Command, uri: str) -> None:
    """A part of it may be the password."""
    code, output = command("release", MONGODB_URI=uri, JWT_SECRET=SECRET)
    assert 1 == code
    assert output.startswith("loa: MONGODB_URI: the database cannot be used: Invalid")
    assert 1 == output.count("\n")
    assert "word" not in output


async def test_a_database_that_cannot_create_an_index_is_named_in_its_own_words(
    command: Command, datastores: Datastores
) -> None:
    """FerretDB 1.24 answers like this: it has no indexes that expire documents."""
    message = 'Index option "expireAfterSeconds" is not implemented yet'
    async with MongoProxy(datastores.database(f"ferret_{uuid4().hex}")) as proxy:
        proxy.unsupported, proxy.code, proxy.message = "expireAfterSeconds", 238, message
        expected = (1, f"loa: MONGODB_URI: the database cannot be used: {message}\n")
        assert expected == await asyncio.to_thread(command, "release", MONGODB_URI=proxy.url, JWT_SECRET=SECRET)


def test_a_server_with_an_unusable_url_exits_with_1_and_one_line(tmp_path: Path, datastores: Datastores) -> None:
    """One of its two workers prints the line, which does not contain the password. See processes/test_worker.py."""
    given = {"MONGODB_URI": "mongodb://an:sesame/open@127.0.0.1/loa", "REDIS_URL": datastores.redis_url}
    server = spawn([], {"JWT_SECRET": SECRET, "PORT": "0", "WEB_CONCURRENCY": "2", **given}, tmp_path / "server.log")
    assert 1 == server.wait()
    assert server.text.startswith("loa: MONGODB_URI: the database cannot be used: InvalidURI (special")
    assert 1 == server.text.count("\n")
    assert "sesame" not in server.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "DATA_DIR: is not valid UTF-8"),
        (("announce", "caf\udce9"), "the text is not valid UTF-8"),
        (("delete-user", "ren\udce9"), "the username is not valid UTF-8"),
    ],
)
def test_an_argument_that_is_not_utf8_is_refused_with_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """As a terminal or a script in Latin-1 passes it."""
    data = str(tmp_path / ("data" if arguments else "caf\udce9"))
    process = spawn(arguments, {"DATA_DIR": data, "PORT": "0"}, tmp_path / "output.log")
    assert (2, f"loa: {message}\n") == (process.wait(), process.text)


def test_a_utf8_argument_is_understood_in_the_c_locale(tmp_path: Path) -> None:
    """Then Python decodes arguments as ASCII."""
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "DATA_DIR": str(tmp_path)}
    process = spawn(["announce", "Xin chào"], environment, tmp_path / "output.log")
    assert 1 == process.wait()
    assert process.text.startswith("loa: DATA_DIR: no Loa is running")


def test_delete_user_asks_on_a_terminal(tmp_path: Path) -> None:
    """Any answer but yes deletes nothing. Without a terminal, or with --yes, the command does not ask."""
    for answer, ending in (("y", "loa: nothing was deleted\r\n"), ("yes", "no Loa is running in")):
        terminal, end = os.openpty()
        environment = {**os.environ, "DATA_DIR": str(tmp_path / "data")}
        command = [sys.executable, "-m", "service", "delete-user", "an.nguyen"]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=end, stdout=end, stderr=end) as process:
            os.close(end)
            output = read_until(terminal, "[yes/no] ")
            os.write(terminal, f"{answer}\n".encode())
            output += read_until(terminal, ending)
            assert 1 == process.wait()
        os.close(terminal)
        assert "Delete 'an.nguyen' with all of their data? This cannot be undone." in output


def read_until(terminal: int, ending: str) -> str:
    """Read from `terminal` until its output contains `ending`."""
    output = ""
    while ending not in output:
        output += os.read(terminal, 4096).decode()
    return output


async def test_an_announcement_reaches_the_connections_of_every_worker(command: Command, run: Run) -> None:
    """With embedded datastores, the data directory alone leads the command to the server."""
    server = run(MONGODB_URI=None, REDIS_URL=None, JWT_SECRET=None, WEB_CONCURRENCY="2")
    account = server.post("/api/v1/auth/register", {"username": "an.nguyen", "password": "correct horse"})
    url = f"{server.websocket_url}/api/v1/ws/chat?token={account['access_token']}"
    async with asyncio.timeout(30), connect(url) as first, connect(url) as second, connect(url) as third:
        for socket in (first, second, third):
            assert "hello" == json.loads(await socket.recv())["type"]
        announced = await asyncio.to_thread(command, "announce", " Tạm nghỉ lúc 22 giờ. ")
        assert (0, "Announced to 2 worker processes.\n") == announced
        for socket in (first, second, third):
            while (event := json.loads(await socket.recv()))["type"] != "announcement":
                pass
            assert {"type": "announcement", "data": {"message": "Tạm nghỉ lúc 22 giờ."}} == event


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("", {}, "loa: an announcement has 1 to 1000 characters, and this one 0\n"),
        (" ", {}, "loa: an announcement has 1 to 1000 characters, and this one 0\n"),
        ("\u200b", {}, "loa: the announcement contains nothing visible\n"),
        ("x" * 1001, {}, "loa: an announcement has 1 to 1000 characters, and this one 1001\n"),
        ("x", {}, "loa: DATA_DIR: no Loa is running in "),
        ("x", {"REDIS_URL": "redis://127.0.0.1:1"}, "loa: REDIS_URL: Redis cannot be used: Error 111 connecting"),
    ],
)
def test_a_failed_announcement_exits_with_1_and_one_line(
    command: Command, text: str, environment: dict[str, str], message: str
) -> None:
    code, output = command("announce", text, **environment)
    assert 1 == code
    assert output.startswith(message)
    assert 1 == output.count("\n")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "loa: DATA_DIR: no Loa is running in "),
        (
            {"REDIS_URL": "redis://127.0.0.1:1", "MONGODB_URI": "mongodb://127.0.0.1:1"},
            "loa: Redis cannot be used: Error 111 connecting",
        ),
    ],
)
def test_delete_user_without_datastores_exits_with_1_and_one_line(
    command: Command, variables: dict[str, str], message: str
) -> None:
    code, output = command("delete-user", "anna", JWT_SECRET=SECRET, **variables)
    assert 1 == code
    assert output.startswith(message)
    assert 1 == output.count("\n")


def honcho(process: str, environment: dict[str, str], output: Path) -> Server:
    """Start a process of the Procfile, as Heroku does."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = (sys.executable, "-m", "honcho")
    return spawn(["start", process], {"PATH": path, "JWT_SECRET": SECRET, **environment}, output, command)


def test_the_procfile_starts_a_server_that_sigterm_stops(datastores: Datastores, tmp_path: Path) -> None:
    environment = {
        "PORT": "0",
        "HOST": "127.0.0.1",
        "MONGODB_URI": datastores.database(f"honcho_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(2),
    }
    server = honcho("web", environment, tmp_path / "honcho.log")
    try:
        server.wait_until_ready()
        children = server.children
        assert 2 <= len(children)
        server.signal(signal.SIGTERM)
        server.wait()
        assert "Traceback" not in server.text
        eventually(lambda: not [pid for pid in children if alive(pid)])
    finally:
        server.kill()


def test_the_procfile_has_a_release_phase(tmp_path: Path, datastores: Datastores) -> None:
    """Heroku runs it before it starts a new version."""
    environment = {"MONGODB_URI": datastores.database(f"honcho_{uuid4().hex}")}
    release = honcho("release", environment, tmp_path / "honcho.log")
    assert 0 == release.wait()
    assert "The database is prepared." in release.text
