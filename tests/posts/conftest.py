"""The fixtures of the notification tests."""

from tests.notifications.conftest import client, process, start_process

__all__ = ["client", "process", "start_process"]
