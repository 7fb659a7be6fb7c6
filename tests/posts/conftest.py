"""The fixtures of notifications are those of posts."""

from tests.notifications.conftest import processes, world

__all__ = ["processes", "world"]
