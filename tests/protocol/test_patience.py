"""What takes its time, because a timer does or a process; see patience.py for how it is waited for."""

import pytest

from tests.protocol.patience import Patience
from tests.protocol.rate_limits import guess
from tests.protocol.world import World


@pytest.mark.parametrize(
    "play",
    [
        *("heartbeat", "silent_peer", "ticket_expiry", "short_life"),
        *("killed_worker", "database_away", "rate_limits"),
    ],
)
def test_patience(patience: Patience, play: str) -> None:
    """Heartbeats, a silent peer, tickets and tokens that are too old, a lost worker, a lost database, the limits."""
    patience.outcome(play)


async def test_no_rate_limits(world: World) -> None:
    """RATE_LIMITS=off lifts them."""
    anna = await world.person()
    assert [401] * 40 == await guess(world, anna.username, 40)
    for _ in range(60):
        await anna.chat()
