"""The fixtures of notifications are those of posts."""

from tests.notifications.conftest import client, process, start_process

__all__ = ["client", "process", "start_process"]
