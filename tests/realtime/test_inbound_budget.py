"""The bytes of frames that wait for their handlers."""

from service.common.close_reasons import OVERLOADED
from service.realtime.inbound_budget import MAX_PROCESS_BYTES, PROCESS_BYTES, USER_BYTES, InboundBudget
from service.realtime.registry import Registry
from tests.realtime.wire import web_socket, wired


def test_a_user_exhausts_only_their_own_share() -> None:
    budget = InboundBudget(on_overload=lambda user_id: None)
    budget.add("ada", USER_BYTES - 1)
    assert not budget.exhausted("ada")
    budget.add("ada", 1)
    assert (True, False) == (budget.exhausted("ada"), budget.exhausted("bob"))
    budget.remove("ada", 1)
    assert not budget.exhausted("ada")


def test_together_users_exhaust_the_share_of_the_process() -> None:
    budget = InboundBudget(on_overload=lambda user_id: None)
    users = [str(n) for n in range(2 * PROCESS_BYTES // USER_BYTES)]
    for user in users:
        budget.add(user, USER_BYTES // 2)
    assert budget.exhausted("anyone")
    for user in users:
        budget.remove(user, USER_BYTES // 2)
    assert (0, False) == (budget.total, budget.exhausted("anyone"))


async def test_beyond_the_limit_the_user_with_the_most_waiting_bytes_is_disconnected(registry: Registry) -> None:
    """The limit of the process holds for many accounts, too, and costs the one who uses most of it."""
    heavy, light = web_socket(registry, "heavy"), web_socket(registry, "light")
    for socket in (heavy, light):
        with registry.registration(socket):
            socket.go_live([])
    async with wired(heavy) as peer, wired(light):
        registry.inbound.add("light", USER_BYTES)
        registry.inbound.add("heavy", MAX_PROCESS_BYTES - USER_BYTES)
        assert not heavy.closing
        registry.inbound.add("light", 1)
        assert (True, False) == (heavy.closing, light.closing)
        assert OVERLOADED == await peer.close_frame()
