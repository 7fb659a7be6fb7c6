"""Blocking: what either of the two users can still do, and that the blocked one is told nothing."""

from tests.protocol.clients import NO_ID, Clients, unique_text


async def test_neither_of_the_two_can_send_in_their_direct_conversation(any_clients: Clients) -> None:
    """By REST and by socket, on any worker; after unblocking, both can."""
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    await anna.send_message(direct)
    sockets = [await person.chat_socket() for person in (anna, ben)]
    await anna.put(f"/users/{ben.id}/block")
    for person, socket in zip((anna, ben), sockets, strict=True):
        body = {"content": unique_text()}
        await person.expect_error(403, "blocked", "POST", f"/conversations/{direct}/messages", body)
        await socket.expect_error("blocked", "send_message", conversation_id=direct, **body)
    await anna.delete(f"/users/{ben.id}/block")
    await ben.send_message(direct)
    await anna.send_message(direct)


async def test_blocks_are_listed_and_idempotent(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    for person in (ben, cleo, ben):
        assert None is await anna.put(f"/users/{person.id}/block")
    page = await anna.get("/blocks", limit=1)
    assert [cleo.profile] == [item["user"] for item in page["items"]]
    rest = await anna.get("/blocks", limit=1, before=page["next"])
    assert ([ben.profile], None) == ([item["user"] for item in rest["items"]], rest["next"])
    for _ in range(2):
        assert None is await anna.delete(f"/users/{ben.id}/block")
    assert [cleo.profile] == [item["user"] for item in (await anna.get("/blocks"))["items"]]
    assert [] == (await ben.get("/blocks"))["items"]


async def test_oneself_and_unknown_users_cannot_be_blocked(clients: Clients) -> None:
    [anna] = await clients.users(1)
    await anna.expect_error(422, "validation_failed", "PUT", f"/users/{anna.id}/block")
    for path in (f"/users/{NO_ID}/block", "/users/nobody/block"):
        await anna.expect_error(404, "not_found", "PUT", path)
        await anna.expect_error(404, "not_found", "DELETE", path)
    await anna.expect_error(422, "validation_failed", "GET", "/blocks", params={"before": "nonsense"})


async def test_the_other_devices_of_who_blocks_are_told_and_the_blocked_user_is_not(any_clients: Clients) -> None:
    """The blocked user goes offline for who blocks, and sees the other as before."""
    anna, ben = await any_clients.users(2)
    direct = await anna.start_conversation(ben)
    await anna.send_message(direct)
    tabs, other = [await anna.chat_socket() for _ in range(2)], await ben.chat_socket()
    await tabs[0].request("watch_presence", user_ids=[ben.id])
    assert (await tabs[0].event("presence"))["data"]["online"]
    await anna.put(f"/users/{ben.id}/block")
    for tab in tabs:
        assert {"user_id": ben.id, "blocked": True} == (await tab.event("block_updated"))["data"]
    assert {"user_id": ben.id, "online": False, "last_seen": None} == (await tabs[0].event("presence"))["data"]
    assert {"online": False, "last_seen": None} == (await anna.get("/presence", user_ids=ben.id))[ben.id]
    assert (await ben.get("/presence", user_ids=anna.id))[anna.id]["online"]
    await anna.delete(f"/users/{ben.id}/block")
    for tab in tabs:
        assert {"user_id": ben.id, "blocked": False} == (await tab.event("block_updated"))["data"]
    assert (await anna.get("/presence", user_ids=ben.id))[ben.id]["online"]
    await other.flush()
    assert {"hello", "pong"} == {event["type"] for event in other.received}


async def test_the_other_devices_of_who_mutes_a_post_are_told_and_its_author_is_not(any_clients: Clients) -> None:
    anna, ben = await any_clients.users(2)
    post = await ben.create_post()
    tabs, other = [await anna.chat_socket() for _ in range(2)], await ben.chat_socket()
    for method, muted in (("PUT", True), ("DELETE", False)):
        await anna.request(method, f"/posts/{post}/mute")
        for tab in tabs:
            assert {"post_id": post, "muted": muted} == (await tab.event("post_mute_updated"))["data"]
    await other.flush()
    assert {"hello", "pong"} == {event["type"] for event in other.received}


async def test_nobody_is_put_into_a_group_by_whom_they_block(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    group = await ben.start_conversation(cleo, title="Theirs")
    await anna.put(f"/users/{ben.id}/block")
    await ben.expect_error(403, "forbidden", "POST", f"/conversations/{group}/participants", {"user_ids": [anna.id]})
    body = {"participant_ids": [cleo.id, anna.id], "title": "Another"}
    await ben.expect_error(403, "forbidden", "POST", "/conversations", body)
    assert [] == (await anna.get("/conversations"))["items"]


async def test_what_a_blocked_user_has_written_cannot_be_answered_by_its_id(any_clients: Clients) -> None:
    """For who blocks, their posts and comments do not exist, whether or not the process has seen them before."""
    anna, ben, cleo = await any_clients.users(3)
    of_ben, of_cleo = await ben.create_post(), await cleo.create_post()
    comment = (await ben.comment(of_cleo))["id"]
    await anna.comment(of_ben)
    await anna.put(f"/users/{ben.id}/block")
    body = {"content": unique_text()}
    for _ in range(3):
        await anna.expect_error(404, "not_found", "POST", f"/posts/{of_ben}/comments", body)
        reply = {**body, "parent_id": comment}
        await anna.expect_error(422, "validation_failed", "POST", f"/posts/{of_cleo}/comments", reply)
    for path in (f"/posts/{of_ben}", f"/posts/{of_cleo}/comments/{comment}"):
        await anna.expect_error(404, "not_found", "PUT", f"{path}/reactions/👍")
    await ben.comment(of_ben)
    await anna.delete(f"/users/{ben.id}/block")
    await anna.comment(of_ben)
