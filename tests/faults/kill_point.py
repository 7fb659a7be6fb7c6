"""Arm one of the kill points that `hook/sitecustomize.py` inserts into the workers."""

from itertools import count
from pathlib import Path

from tests.running import eventually

MESSAGE_POINTS = ("before-insert", "after-insert", "before-publish", "before-ack")
COMMENT_POINTS = ("after-comment", "before-notification", "stored-notification", "after-notification")
DRAIN_POINTS = ("in-drain",)
REACTION_POINTS = ("before-sum", "after-reaction")
"""They are reached only while users react to posts and comments."""
REPEATED_DELETION_POINTS = (
    "before-notifications-deleted",
    "after-notifications-deleted",
    "after-reactions-deleted",
    "before-files-deleted",
    "after-files-deleted",
)
"""They are reached at least twice: for the comments, and for the post."""
DELETION_POINTS = (
    "before-deletion",
    "after-deletion",
    *REPEATED_DELETION_POINTS,
    "before-comments-removed",
    "after-comments-removed",
    "before-post-removed",
    "after-post-removed",
)
"""They are reached only while a post is deleted."""
PUSH_POINTS = (
    "before-news",
    "after-news",
    "before-delivery",
    "after-delivery",
    "before-push",
    "after-push",
    "settled-push",
)
"""They are reached only while somebody who is away has a push subscription."""
POINTS = (*MESSAGE_POINTS, *COMMENT_POINTS, *DRAIN_POINTS)


class KillPoint:
    """`environment` has the variables that a server needs for kill points; none is active until it is armed."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "kill-point"
        self._tokens = count(1)

    @property
    def environment(self) -> dict[str, str]:
        return {"FAULTS_KILL_POINT": str(self._file)}

    def arm(self, point: str, victim: str, skip: int = 0) -> None:
        """Kill the victim, "worker" or the whole "server", when it reaches `point` after passing it `skip` times."""
        assert point in (*POINTS, *REACTION_POINTS, *DELETION_POINTS, *PUSH_POINTS)
        # Replace the file atomically, because the workers may read it at any time.
        new = self._file.with_suffix(".new")
        new.write_text(f"{point} {skip} {victim} {next(self._tokens)}")
        new.replace(self._file)

    def wait_until_hit(self, timeout: float = 15.0) -> None:
        """Wait until a process has been killed."""
        eventually(lambda: not self._file.exists(), timeout)
