"""Half a minute and more; see scenarios.py for what happens meanwhile."""

import pytest

from tests.protocol.patience import Patience


@pytest.mark.parametrize("scenario", ["heartbeat", "silent_peer", "ticket_expiry", "short_life", "killed_worker"])
def test_patience(patience: Patience, scenario: str) -> None:
    """Heartbeats, a silent peer, tickets and tokens that are too old, a worker that was killed."""
    patience.outcome(scenario)
