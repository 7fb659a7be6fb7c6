"""Child processes: start, supervision and stop, each with its time limit."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from service.common import child_process
from service.common.child_process import Child, ChildFailed, describe, die_with_parent, start_all, stop_all
from service.common.tasks import cancel_and_wait
from tests.running import alive, eventually

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)


class Script(Child):
    """A child that runs Python code and is ready when it prints its first line."""

    def __init__(self, code: str, *, attempts: int | None = None) -> None:
        self.lines: list[str] = []
        super().__init__("the script", self.lines.append, attempts=attempts)
        self.code = code
        self.pids: list[int] = []

    async def _spawn(self) -> Process:
        command = (sys.executable, "-S", "-E", "-c", self.code)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self.pids.append(process.pid)
        return process

    async def _ready(self) -> None:
        assert self._process
        assert self._process.stdout
        if not await self._process.stdout.readline():
            await asyncio.Event().wait()

    def _log_tail(self) -> str:
        return "; log tail"


async def test_a_failed_start_names_the_exit_code_and_the_log() -> None:
    script = Script("raise SystemExit(3)")
    with pytest.raises(ChildFailed, match=r"^the script did not start \(exit code 3\); log tail$"):
        await script.start()


async def test_a_child_that_is_not_ready_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "START_TIMEOUT", 0.2)
    script = Script("import time; time.sleep(60)")
    with pytest.raises(ChildFailed, match="was not ready within"):
        await script.start()
    assert not alive(script.pids[0])


async def test_a_child_can_be_spawned_before_it_is_waited_for() -> None:
    script = Script("print(flush=True); import time; time.sleep(60)")
    await script.spawn()
    await script.wait_until_ready()
    assert 1 == len(script.pids)
    await script.stop(5)
    assert not alive(script.pids[0])


async def test_a_child_that_ignores_sigterm_is_killed_after_the_timeout() -> None:
    script = Script(IGNORES_SIGTERM)
    await script.start()
    await script.stop(0.1)
    assert not alive(script.pids[0])


async def test_a_wedged_child_is_killed_and_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "MIN_BACKOFF", 0.01)

    class Wedged(Script):
        async def _wedged(self) -> None:
            if len(self.pids) > 1:
                await asyncio.Event().wait()

    script = Wedged(IGNORES_SIGTERM)
    await script.start()
    supervising = asyncio.create_task(script.supervise())
    async with asyncio.timeout(10):
        while not any("runs again" in line for line in script.lines):
            await asyncio.sleep(0.01)
    assert [False, True] == [alive(pid) for pid in script.pids]
    assert "does not work any more" in script.lines[0]
    await cancel_and_wait(supervising)
    await script.stop(0.1)


async def test_supervision_gives_up_after_too_many_failed_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt is logged."""
    monkeypatch.setattr(child_process, "MIN_BACKOFF", 0.01)
    script = Script("print(flush=True)", attempts=3)
    await script.start()
    script.code = "raise SystemExit(3)"
    with pytest.raises(ChildFailed, match="exit code 3"):
        await script.supervise()
    assert 4 == len(script.pids)
    assert "the script ended (exit code 0); it starts again in 0.0 s" == script.lines[0]
    assert 3 == len(script.lines)


async def test_one_failed_start_cancels_the_others() -> None:
    scripts = [Script(IGNORES_SIGTERM), Script("raise SystemExit(3)"), Script("import time; time.sleep(60)")]
    with pytest.raises(ChildFailed):
        await start_all(scripts)
    await stop_all(scripts, 0.1)
    assert not [pid for script in scripts for pid in script.pids if alive(pid)]


def test_describe_names_the_signal_if_there_was_one() -> None:
    assert ["exit code 0", "SIGKILL", "signal 63"] == [describe(0), describe(-9), describe(-63)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does this")
def test_a_child_dies_with_a_parent_killed_by_kill_9(tmp_path: Path) -> None:
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
def test_a_child_whose_parent_died_before_prctl_exits() -> None:
    prepare = die_with_parent()
    assert prepare
    # A grandchild's parent is not the process that called `die_with_parent`.
    pid = os.fork()
    if pid == 0:
        grandchild = os.fork()
        if grandchild == 0:
            prepare()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    assert 1 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
