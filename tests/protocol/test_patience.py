"""Half a minute and more; see scenarios.py for what happens meanwhile."""

import pytest

from tests.protocol.patience import Patience


@pytest.mark.parametrize("scenario", ["heartbeat", "silent_peer", "ticket_expiry", "killed_worker"])
def test_patience(patience: Patience, scenario: str) -> None:
    """The heartbeat, the silent peer, the ticket that is too old and the worker that was killed."""
    patience.outcome(scenario)
