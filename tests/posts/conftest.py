"""The fixtures of notifications are those of posts."""

from tests.notifications.conftest import client, processes, world

__all__ = ["client", "processes", "world"]
