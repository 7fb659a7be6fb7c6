"""A lock of two groups: any number of processes may hold it for one group at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def group_lock(directory: Path, own_group: str, other_group: str) -> Iterator[None]:
    """Hold the lock whose files are in `directory` for `own_group`, when nobody holds it for `other_group`.

    A process that ends releases it. Whoever waits may be overtaken by any number of others of the group that holds it.
    """
    with (
        (directory / f"{own_group}.lock").open("w") as own,
        (directory / f"{other_group}.lock").open("w") as other,
        (directory / "entry.lock").open("w") as entry,
    ):
        while True:
            fcntl.flock(entry, fcntl.LOCK_EX)
            with suppress(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(own, fcntl.LOCK_SH)
                fcntl.flock(other, fcntl.LOCK_UN)
                break
            # Wait with the entry open, so that others of the group that holds the lock can join it.
            fcntl.flock(entry, fcntl.LOCK_UN)
            fcntl.flock(other, fcntl.LOCK_EX)
            fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(entry, fcntl.LOCK_UN)
        yield
