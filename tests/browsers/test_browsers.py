"""The same short scenario in Chromium, in Firefox (WebDriver BiDi) and in WebKitGTK (WebDriver)."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.common.child_process import die_with_parent
from tests.conftest import Run
from tests.e2e.user import PASSWORD, User
from tests.interop.conftest import need
from tests.rest import free_port
from tests.running import CHEAP_HASHES, eventually

pytestmark = pytest.mark.scenario

HERE = Path(__file__).parent
PROGRAMS = {
    "chromium": ("chromium",),
    "firefox": ("firefox-esr",),
    "webkit": ("WebKitWebDriver", "Xvfb"),
}
MINI_BROWSER = "*/webkit2gtk-4.*/MiniBrowser"
"""Below /usr/lib: the browser that comes with WebKitGTK, which is not on the PATH."""
TIMEOUT = 60.0
"""Seconds for one command, or for something to appear."""
MESSAGES, TOASTS = ".message .user-text", ".toast"
COMPOSER, SEND = ".composer textarea", ".composer button[type=submit]"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `browser.js` with exactly the packages of package-lock.json."""
    need("node", "npm")
    folder = tmp_path_factory.mktemp("browsers")
    for name in ("browser.js", "package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "browser.js"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server without a screen, for WebKit, which has no headless mode."""
    need("Xvfb")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent())  # noqa: PLW1509
    os.close(write)
    with os.fdopen(read) as numbers:
        yield f":{numbers.readline().strip()}"
    server.terminate()
    server.wait(10)


class BrowserTab:
    """A tab of a browser that `browser.js` drives."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *command: Any) -> Any:
        """Run a command of `browser.js`, and return its result."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT):
            answer = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    async def until(self, selector: str, matches: Callable[[list[str]], bool]) -> None:
        """Wait until the texts of the visible elements match."""
        found: list[str] = []
        try:
            async with asyncio.timeout(TIMEOUT):
                while not matches(found := await self.do("texts", selector)):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"{selector} is {found}")


@asynccontextmanager
async def browser(name: str, script: Path, **options: Any) -> AsyncIterator[BrowserTab]:
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert process.stdin
    try:
        tab = BrowserTab(process)
        await tab.do("start", options)
        yield tab
    finally:
        process.stdin.close()
        async with asyncio.timeout(TIMEOUT):
            await process.wait()


@pytest.mark.parametrize("name", PROGRAMS)
async def test_chat_toast_and_a_killed_worker(
    name: str, driver: Path, run: Run, request: pytest.FixtureRequest
) -> None:
    """Sign in, write both ways, see a toast, and go on after the worker has been killed, with nothing lost."""
    need(*PROGRAMS[name])
    options: dict[str, Any] = {"program": shutil.which(PROGRAMS[name][0])}
    if name == "webkit":
        program = str(next(Path("/usr/lib").glob(MINI_BROWSER)))
        options = {"program": program, "port": free_port(), "display": request.getfixturevalue("display")}
    server = await asyncio.to_thread(run, RATE_LIMITS="off", **CHEAP_HASHES)
    with httpx.Client(timeout=30, trust_env=False) as http:
        an, binh = User.register(http, server, "An"), User.register(http, server, "Bình")
        conversation = an.create_conversation(binh)
        post = str(an.post("/posts", content="A post")["id"])
        async with browser(name, driver, **options) as tab:
            await tab.do("open", f"{server.url}/#/c/{conversation}")
            await tab.until("input[name=username]", lambda texts: len(texts) == 1)
            await tab.do("type", "input[name=username]", an.username)
            await tab.do("type", "input[name=password]", PASSWORD)
            await tab.do("click", "form button[type=submit]")
            await tab.until(COMPOSER, lambda texts: len(texts) == 1)

            await tab.do("type", COMPOSER, "Xin chào")
            await tab.do("click", SEND)
            await tab.until(MESSAGES, lambda texts: texts == ["Xin chào"])
            binh.send_message(conversation, "Chào An 👋")
            await tab.until(MESSAGES, lambda texts: texts == ["Xin chào", "Chào An 👋"])

            binh.comment(post, "Đẹp quá")
            await tab.until(TOASTS, lambda texts: any("Đẹp quá" in text for text in texts))

            (worker,) = server.workers
            os.kill(worker, signal.SIGKILL)
            await tab.do("type", COMPOSER, "Are you there?")
            await tab.do("click", SEND)
            await asyncio.to_thread(eventually, lambda: server.status("/readyz") == 200, TIMEOUT)
            binh.send_message(conversation, "Still here")
            await tab.until(MESSAGES, lambda texts: sorted(texts[2:]) == ["Are you there?", "Still here"])
            binh.comment(post, "Once more")
            await tab.until(TOASTS, lambda texts: any("Once more" in text for text in texts))
