"""A child process: started, kept, stopped, with limits on each."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from service.common import child_process as child
from service.common.child_process import Child, ChildFailed, describe, die_with_parent, start_all, stop_all
from service.common.tasks import cancel_and_wait
from tests.running import alive, eventually

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


class Script(Child):
    """A child that runs some Python, and is ready at the first line that it prints."""

    def __init__(self, code: str, *, attempts: int | None = None) -> None:
        self.said: list[str] = []
        super().__init__("the script", self.said.append, attempts=attempts)
        self.code = code
        self.pids: list[int] = []

    async def _spawn(self) -> Process:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", self.code, stdout=asyncio.subprocess.PIPE)
        self.pids.append(process.pid)
        return process

    async def _ready(self) -> None:
        assert self._process
        assert self._process.stdout
        if not await self._process.stdout.readline():
            await asyncio.Event().wait()

    def _evidence(self) -> str:
        return "; evidence"


async def test_a_child_that_ends_at_its_start_is_told_with_its_exit_code() -> None:
    """And with what it left behind."""
    script = Script("raise SystemExit(3)")
    with pytest.raises(ChildFailed, match=r"^the script did not start \(exit code 3\); evidence$"):
        await script.start()


async def test_a_child_that_never_gets_ready_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the limit."""
    monkeypatch.setattr(child, "START_LIMIT", 0.5)
    script = Script("import time; time.sleep(60)")
    with pytest.raises(ChildFailed, match="was not ready within"):
        await script.start()
    assert not alive(script.pids[0])


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    """After the grace that it was given."""
    script = Script(DEAF)
    await script.start()
    await script.stop(0.2)
    assert not alive(script.pids[0])


async def test_a_child_that_runs_and_works_no_more_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never end by itself."""
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.01)

    class Panicked(Script):
        async def _beyond_help(self) -> None:
            if len(self.pids) > 1:
                await asyncio.Event().wait()

    script = Panicked(DEAF)
    await script.start()
    keeping = asyncio.create_task(script.keep())
    async with asyncio.timeout(10):
        while not any("runs again" in line for line in script.said):
            await asyncio.sleep(0.01)
    assert [False, True] == [alive(pid) for pid in script.pids]
    assert "does not work any more" in script.said[0]
    await cancel_and_wait(keeping)
    await script.stop(0.1)


async def test_a_child_that_will_not_start_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many attempts, with longer and longer pauses; each is told."""
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.01)
    script = Script("print(flush=True)", attempts=3)
    await script.start()
    script.code = "raise SystemExit(3)"
    with pytest.raises(ChildFailed, match="exit code 3"):
        await script.keep()
    assert 4 == len(script.pids)
    assert "the script ended (exit code 0); it starts again in 0.0 s" == script.said[0]
    assert 3 == len(script.said)


async def test_one_failed_start_calls_off_the_others() -> None:
    """And what has started can be stopped."""
    scripts = [Script(DEAF), Script("raise SystemExit(3)"), Script("import time; time.sleep(60)")]
    with pytest.raises(ChildFailed):
        await start_all(scripts)
    await stop_all(scripts, 0.1)
    assert not [pid for script in scripts for pid in script.pids if alive(pid)]


def test_an_end_is_told_in_words() -> None:
    """By the name of the signal, where there was one."""
    assert ["exit code 0", "SIGKILL", "signal 63"] == [describe(0), describe(-9), describe(-63)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does this")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """By kill -9, when nothing can be cleaned up any more."""
    code = (
        "import subprocess, time; from service.common.child_process import die_with_parent; "
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=die_with_parent()); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    eventually(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does this")
def test_a_child_of_a_parent_that_is_gone_already_does_not_start() -> None:
    """Its parent may end between the fork and the word to the kernel."""
    prepare = die_with_parent()
    assert prepare
    # A grandchild, whose parent is not the process that `die_with_parent` was called in.
    pid = os.fork()
    if pid == 0:
        grandchild = os.fork()
        if grandchild == 0:
            prepare()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    assert 1 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
