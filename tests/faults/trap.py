"""The trap: arms one of the crash points that `hook/sitecustomize.py` sets into the workers."""

from itertools import count
from pathlib import Path

from tests.running import eventually

TALKING = ("before-insert", "after-insert", "before-publish", "before-ack")
COMMENTING = ("before-notification", "after-notification")
DRAINING = ("in-drain",)
POINTS = (*TALKING, *COMMENTING, *DRAINING)


class Trap:
    """`environment` is what a server needs to have crash points; none of them does anything until it is armed."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "trap"
        self._tokens = count(1)

    @property
    def environment(self) -> dict[str, str]:
        return {"FAULTS_TRAP": str(self._file)}

    def arm(self, point: str, victim: str, passes: int = 0) -> None:
        """Whoever reaches `point` for the time after so many `passes` dies: the "worker", or the whole "server"."""
        assert point in POINTS
        # Whole at once, for the workers read it whenever they like.
        new = self._file.with_suffix(".new")
        new.write_text(f"{point} {passes} {victim} {next(self._tokens)}")
        new.replace(self._file)

    def wait(self, within: float = 15.0) -> None:
        """Until it has caught someone."""
        eventually(lambda: not self._file.exists(), within)
