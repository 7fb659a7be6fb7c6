"""The results of the scenarios that run in the background; see background_scenarios.py."""

import pytest

from tests.protocol.background_scenarios import BackgroundScenarios
from tests.protocol.clients import Clients
from tests.protocol.rate_limits import guess_passwords


@pytest.mark.parametrize(
    "scenario",
    [
        *("heartbeat", "silent_peer", "ticket_expiry", "short_lived_tokens"),
        *("killed_worker", "database_away", "rate_limits"),
    ],
)
def test_scenario(background_scenarios: BackgroundScenarios, scenario: str) -> None:
    background_scenarios.wait_for(scenario)


async def test_rate_limits_can_be_switched_off(clients: Clients) -> None:
    anna = await clients.user()
    assert [401] * 40 == await guess_passwords(clients, anna.username, 40)
    for _ in range(60):
        await anna.chat_socket()
