"""Slowloris against the real server, with its real limits; the plays run beside the other tests of this folder."""

import pytest

from tests.protocol.patience import Patience


@pytest.mark.parametrize("phase", ["head", "body"])
def test_a_trickle_comes_to_an_end(slow_clients: Patience, phase: str) -> None:
    """A byte every second does not keep a connection beyond the time that a head, or a body, may take."""
    slow_clients.outcome(phase)
