"""`python -m service announce`: a word from the operator to everyone."""

import asyncio
import sys

import pytest

from tests.protocol.processes import spread
from tests.protocol.world import World
from tests.running import ROOT


async def announce(world: World, text: str) -> tuple[int, str]:
    """The command, in the environment of the server: its exit code and what it printed."""
    environ = {}
    with open(f"/proc/{world.server.pid}/environ", "rb") as file:
        for entry in file.read().split(b"\0"):
            name, _, value = entry.decode().partition("=")
            environ[name] = value
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "announce", text),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_everyone_hears_it(spread_world: World) -> None:
    """Every chat socket on every worker gets the text."""
    anna, ben = await spread_world.people(2)
    sockets = [*(await spread(spread_world.server, anna.chat, 3)).values(), await ben.chat()]
    code, output = await announce(spread_world, "Mười phút nữa 🔧")
    assert 0 == code, output
    for socket in sockets:
        assert {"type": "announcement", "data": {"message": "Mười phút nữa 🔧"}} == await socket.event("announcement")


@pytest.mark.parametrize("text", ["", "  "])
async def test_it_needs_words(world: World, text: str) -> None:
    """An empty announcement is refused with one line, and nobody hears of it."""
    socket = await (await world.person()).chat()
    code, output = await announce(world, text)
    assert code != 0
    assert 1 == len(output.strip().splitlines())
    await socket.fence()
    assert [] == socket.left("announcement")
