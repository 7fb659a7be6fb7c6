"""The commands, each as its users run it: what it prints, and its exit code."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect

from config.settings import Settings
from service.datastores.mongo import Mongo
from tests.conftest import SECRET, Datastores, Run
from tests.running import Server, alive, eventually, spawn

Command = Callable[..., tuple[int, str]]
NOWHERE = "mongodb://127.0.0.1:1/loa"


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`command("release", MONGODB_URI=…)` → its exit code and all that it printed."""

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        server = spawn(arguments, {"DATA_DIR": str(tmp_path / "data"), **environment}, tmp_path / f"{uuid4().hex}.log")
        return server.wait(), server.text

    return run


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("WEB_CONCURRENCY", "none"), ("JWT_SECRET", "short"), ("MONGODB_URI", NOWHERE)],
)
@pytest.mark.parametrize("arguments", [(), ("release",), ("announce", "Hello")])
def test_a_wrong_setting_stops_every_command_with_one_line(
    command: Command, name: str, value: str, arguments: tuple[str, ...]
) -> None:
    """It names the variable to change: here, for MONGODB_URI, the secret that has to come with it."""
    code, text = command(*arguments, **{name: value})
    assert 2 == code
    assert text.startswith(f"loa: {'JWT_SECRET' if name == 'MONGODB_URI' else name}: ")
    assert 1 == text.count("\n")


def test_help_names_every_command_and_every_variable(command: Command) -> None:
    """But for the command that is the supervisor's own."""
    code, text = command("--help")
    assert 0 == code
    for name in ("announce", "release", "delete-user", *(field.upper() for field in Settings.model_fields)):
        assert name in text
    assert not re.search(r"^ +worker", text, re.MULTILINE)


def test_an_unknown_command_is_refused(command: Command) -> None:
    """With the usual exit code, and nothing started."""
    code, text = command("sevre")
    assert 2 == code
    assert "invalid choice: 'sevre'" in text


async def test_release_prepares_the_database_any_number_of_times(command: Command, datastores: Datastores) -> None:
    """The indexes are there after the first, and the same after the second."""
    uri = datastores.database(f"release_{uuid4().hex}")
    mongo = Mongo(uri)
    seen = []
    for _ in range(2):
        assert (0, "The database is prepared.\n") == command("release", MONGODB_URI=uri, JWT_SECRET=SECRET)
        names = sorted(await mongo.database.list_collection_names())
        seen.append({name: await mongo.database[name].index_information() for name in names})
    assert seen[0] == seen[1]
    assert "users" in seen[0]
    assert any(index.get("unique") for index in seen[0]["messages"].values())
    await mongo.database.client.drop_database(mongo.database.name)
    mongo.close()


def test_release_without_a_database_has_nothing_to_do(command: Command, tmp_path: Path) -> None:
    """The embedded one is prepared whenever it starts; nothing is started for it."""
    code, text = command("release")
    assert (0, 1) == (code, text.count("\n"))
    assert not (tmp_path / "data").exists()


def test_release_says_that_the_database_is_away(command: Command) -> None:
    """In one line, after a few seconds."""
    expected = (1, "loa: MONGODB_URI: The database cannot be reached.\n")
    assert expected == command("release", MONGODB_URI=NOWHERE, JWT_SECRET=SECRET)


@pytest.mark.parametrize(
    "uri", ["mongodb://", "mongodb://an:pass/word@localhost/loa", "mongodb://an:pass:word@localhost/loa"]
)
def test_release_says_that_the_uri_is_wrong(command: Command, uri: str) -> None:
    """Without quoting it: a piece of it may be the password."""
    code, text = command("release", MONGODB_URI=uri, JWT_SECRET=SECRET)
    assert 1 == code
    assert text.startswith("loa: MONGODB_URI: the database cannot be used: Invalid")
    assert 1 == text.count("\n")
    assert "word" not in text


def test_serving_without_its_database_says_so(command: Command, datastores: Datastores) -> None:
    """And ends, for whoever started it to try again."""
    code, text = command(MONGODB_URI=NOWHERE, REDIS_URL=datastores.redis_url, JWT_SECRET=SECRET, PORT="0")
    assert 1 == code
    assert "loa: MONGODB_URI: The database cannot be reached.\nloa: the database could not be prepared\n" == text


async def test_an_announcement_reaches_everyone(command: Command, run: Run) -> None:
    """On whichever worker they are: found by the data directory alone, where the datastores are embedded."""
    server = run(MONGODB_URI=None, REDIS_URL=None, JWT_SECRET=None, WEB_CONCURRENCY="2")
    account = server.post("/api/v1/auth/register", {"username": "an.nguyen", "password": "correct horse"})
    url = f"{server.websocket_url}/api/v1/ws/chat?token={account['access_token']}"
    async with asyncio.timeout(30), connect(url) as one, connect(url) as other, connect(url) as third:
        for socket in (one, other, third):
            assert "hello" == json.loads(await socket.recv())["type"]
        announced = await asyncio.to_thread(command, "announce", " Tạm nghỉ lúc 22 giờ. ")
        assert (0, "Announced to 2 worker processes.\n") == announced
        for socket in (one, other, third):
            while (event := json.loads(await socket.recv()))["type"] != "announcement":
                pass
            assert {"type": "announcement", "data": {"message": "Tạm nghỉ lúc 22 giờ."}} == event


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("", {}, "loa: an announcement has 1 to 1000 characters, and this one 0\n"),
        (" ", {}, "loa: an announcement has 1 to 1000 characters, and this one 0\n"),
        ("x" * 1001, {}, "loa: an announcement has 1 to 1000 characters, and this one 1001\n"),
        ("x", {}, "loa: DATA_DIR: no Loa is running in "),
        ("x", {"REDIS_URL": "redis://127.0.0.1:1"}, "loa: REDIS_URL: Redis cannot be reached (ConnectionError)\n"),
    ],
)
def test_an_announcement_that_nobody_can_hear_is_told(
    command: Command, text: str, environment: dict[str, str], message: str
) -> None:
    """In one line, and with an exit code."""
    code, said = command("announce", text, **environment)
    assert 1 == code
    assert said.startswith(message)
    assert 1 == said.count("\n")


def test_the_procfile_runs_it(datastores: Datastores, tmp_path: Path) -> None:
    """Under honcho as on Heroku: the port is given, and SIGTERM ends it without a trace."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": "0",
        "HOST": "127.0.0.1",
        "MONGODB_URI": datastores.database(f"honcho_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(2),
        "JWT_SECRET": SECRET,
    }
    honcho: Server = spawn(["start", "web"], environment, tmp_path / "honcho.log", (sys.executable, "-m", "honcho"))
    try:
        honcho.wait_until_ready()
        children = honcho.children
        assert 2 <= len(children)
        honcho.signal(signal.SIGTERM)
        honcho.wait()
        assert "Traceback" not in honcho.text
        eventually(lambda: not [pid for pid in children if alive(pid)])
    finally:
        honcho.kill()


def test_the_procfile_prepares_the_database_before_a_release(tmp_path: Path, datastores: Datastores) -> None:
    """The line is a command that ends with 0."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MONGODB_URI": datastores.database(f"honcho_{uuid4().hex}"),
        "JWT_SECRET": SECRET,
    }
    honcho = spawn(["start", "release"], environment, tmp_path / "honcho.log", (sys.executable, "-m", "honcho"))
    assert 0 == honcho.wait()
    assert "The database is prepared." in honcho.text
