"""Slowloris against a real server with its real limits; the scenarios run beside the other tests of this folder."""

import pytest

from tests.protocol.background_scenarios import BackgroundScenarios


@pytest.mark.parametrize("phase", ["head", "body"])
def test_a_slow_head_or_body_is_answered_with_408(slow_clients: BackgroundScenarios, phase: str) -> None:
    """A client that sends one byte a second gets a 408 when the time limit of the head or body ends."""
    slow_clients.wait_for(phase)
