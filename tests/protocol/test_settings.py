"""Muting and archiving conversations."""

import pytest

from tests.protocol.clients import Clients


async def test_muting_is_the_users_own_and_reaches_their_other_devices(any_clients: Clients) -> None:
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    await anna.send_message(direct)
    tab, other = await anna.chat_socket(), await ben.chat_socket()
    path = f"/conversations/{direct}/mute"
    muted = await anna.put(path, {"until": "2099-05-24T16:03:11.4829+02:00"})
    assert "2099-05-24T14:03:11.482Z" == muted["muted_until"]
    assert muted["muted_until"] == (await tab.event("conversation_updated"))["data"]["muted_until"]
    assert muted == (await anna.get("/conversations"))["items"][0]
    assert "9999-12-31T23:59:59.999Z" == (await anna.put(path, {"until": None}))["muted_until"]
    assert None is (await anna.put(path, {"until": "2001-05-24T14:03:11Z"}))["muted_until"]
    assert None is (await anna.delete(path))["muted_until"]
    assert None is (await ben.get(f"/conversations/{direct}"))["muted_until"]
    await other.flush()
    assert not [event for event in other.received if event["type"] == "conversation_updated"]


@pytest.mark.parametrize(
    "until", [7, "soon", "2099-05-24T14:03:11", "2099-05-24", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"]
)
async def test_an_invalid_time_is_rejected(clients: Clients, until: object) -> None:
    [anna, ben] = await clients.users(2)
    direct = await anna.start_conversation(ben)
    await anna.expect_error(422, "validation_failed", "PUT", f"/conversations/{direct}/mute", {"until": until})


async def test_an_archived_conversation_is_in_a_list_of_its_own_until_a_message_arrives(any_clients: Clients) -> None:
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    await ben.send_message(direct)
    tab = await anna.chat_socket()
    archived = await anna.put(f"/conversations/{direct}/archive")
    assert archived["archived"]
    assert (await tab.event("conversation_updated"))["data"]["archived"]
    assert [] == (await anna.get("/conversations"))["items"]
    assert [archived] == (await anna.get("/conversations", archived=1))["items"]
    await ben.send_message(direct)
    assert [direct] == [item["id"] for item in (await anna.get("/conversations"))["items"]]
    assert [] == (await anna.get("/conversations", archived=1))["items"]
    await anna.put(f"/conversations/{direct}/archive")
    assert not (await anna.delete(f"/conversations/{direct}/archive"))["archived"]
    assert [] == (await anna.get("/conversations", archived=1))["items"]


async def test_a_deleted_history_is_gone_for_its_user_alone(any_clients: Clients) -> None:
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    sent = await ben.send_message(direct)
    tab, other = await anna.chat_socket(), await ben.chat_socket()
    assert None is await anna.delete(f"/conversations/{direct}/history")
    assert {"type": "history_cleared", "conversation_id": direct, "data": {"seq": 1}} == await tab.event(
        "history_cleared"
    )
    assert {"items": [], "next": None} == await anna.get(f"/conversations/{direct}/messages")
    assert None is (await anna.get(f"/conversations/{direct}"))["last_message"]
    assert [sent] == (await ben.get(f"/conversations/{direct}/messages"))["items"]
    await anna.expect_error(404, "not_found", "PUT", f"/conversations/{direct}/messages/{sent['id']}/reactions/👍")
    new = await ben.send_message(direct)
    assert [new] == (await anna.get(f"/conversations/{direct}/messages"))["items"]
    await other.flush()
    assert not [event for event in other.received if event["type"] == "history_cleared"]


async def test_a_message_says_whom_it_mentions(any_clients: Clients) -> None:
    """By username, or all; only participants. Each of them has a count of the unread ones."""
    anna, ben, cleo = await any_clients.users(3)
    group = await anna.start_conversation(ben, title="Two of us")
    message = await anna.send_message(group, f"@{ben.username}, @{cleo.username}: look")
    assert [ben.id] == message["mentions"]
    assert [anna.id, ben.id] == (await anna.send_message(group, "@all"))["mentions"]
    assert 2 == (await ben.get(f"/conversations/{group}"))["mention_count"]
    assert [0] == [item["mention_count"] for item in (await anna.get("/conversations"))["items"]]
    await ben.put(f"/conversations/{group}/read", {"seq": 3})
    assert 0 == (await ben.get(f"/conversations/{group}"))["mention_count"]
