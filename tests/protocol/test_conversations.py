"""Conversations: creation, list, title, participants."""

import asyncio

from tests.protocol.clients import NO_ID, Clients, User, is_id, is_time

CONVERSATION = {
    "id",
    "kind",
    "title",
    "participant_count",
    "participant_ids",
    "participants",
    "owner_id",
    "role",
    "history",
    "created_at",
    "last_activity_at",
    "last_message",
    "muted_until",
    "archived",
    "mention_count",
    "unread_count",
    "last_seq",
    "last_rev",
    "last_read_seq",
    "read_marks",
}


async def test_two_users_have_one_direct_conversation(clients: Clients) -> None:
    """The first request gets 201, later ones 200, from either side."""
    anna, ben = await clients.users(2)
    first = await anna.call("POST", "/conversations", {"participant_ids": [ben.id]})
    assert 201 == first.status_code
    conversation = first.json()
    assert CONVERSATION == set(conversation)
    assert is_id(conversation["id"])
    assert is_time(conversation["created_at"])
    assert {anna.id, ben.id} == set(conversation["participant_ids"])
    assert {anna.id: anna.profile, ben.id: ben.profile} == {one["id"]: one for one in conversation["participants"]}
    assert None is conversation["title"] is conversation["last_message"]
    assert [0] * 4 == [conversation[name] for name in ("unread_count", "last_seq", "last_rev", "last_read_seq")]
    for person, other in ((anna, ben), (ben, anna)):
        again = await person.call("POST", "/conversations", {"participant_ids": [other.id]})
        assert (200, conversation["id"]) == (again.status_code, again.json()["id"])
    named_oneself_too = await anna.call("POST", "/conversations", {"participant_ids": [ben.id, anna.id]})
    assert (200, conversation["id"]) == (named_oneself_too.status_code, named_oneself_too.json()["id"])


async def test_concurrent_requests_create_a_direct_conversation_once(any_clients: Clients) -> None:
    """Of twenty requests from both sides exactly one gets 201."""
    anna, ben = await any_clients.users(2)
    pairs = [(anna, ben), (ben, anna)] * 10
    answers = await asyncio.gather(
        *(person.call("POST", "/conversations", {"participant_ids": [other.id]}) for person, other in pairs)
    )
    assert 1 == len({answer.json()["id"] for answer in answers})
    assert [200] * 19 + [201] == sorted(answer.status_code for answer in answers)


async def test_a_title_or_more_participants_make_a_group(clients: Clients) -> None:
    """Each request creates another group."""
    anna, ben, cleo = await clients.users(3)
    direct = await anna.start_conversation(ben)
    groups = [
        await anna.start_conversation(ben, title="Just us"),
        await anna.start_conversation(ben, title="Just us"),
        await anna.start_conversation(ben, cleo),
    ]
    assert 4 == len({direct, *groups})
    group = await cleo.get(f"/conversations/{groups[2]}")
    assert {anna.id, ben.id, cleo.id} == set(group["participant_ids"])
    assert "group" == group["kind"]


async def test_a_conversation_requires_other_existing_participants(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    for participants in ([NO_ID], [ben.id, NO_ID], [anna.id], []):
        answer = await anna.call("POST", "/conversations", {"participant_ids": participants})
        assert answer.status_code in (404, 422), participants
    assert [] == (await anna.get("/conversations"))["items"]
    assert [] == (await ben.get("/conversations"))["items"]


async def test_the_list_is_ordered_by_activity_and_has_last_messages_and_unread_counts(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    with_ben, with_cleo = await anna.start_conversation(ben), await anna.start_conversation(cleo)
    for _ in range(3):
        last = await anna.send_message(with_ben)
    page = await ben.get("/conversations")
    assert None is page["next"]
    (item,) = page["items"]
    assert CONVERSATION == set(item)
    assert last == item["last_message"]
    assert [3, 3, 3, 0] == [item[name] for name in ("unread_count", "last_seq", "last_rev", "last_read_seq")]
    assert item == await ben.get(f"/conversations/{with_ben}")
    assert [with_ben, with_cleo] == [one["id"] for one in (await anna.get("/conversations"))["items"]]
    await cleo.send_message(with_cleo)
    assert [with_cleo, with_ben] == [one["id"] for one in (await anna.get("/conversations"))["items"]]


async def test_own_messages_are_not_unread(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    conversation = await anna.start_conversation(ben)
    await ben.send_message(conversation)
    await anna.send_message(conversation)
    assert 0 == (await anna.get(f"/conversations/{conversation}"))["unread_count"]
    assert 1 == (await ben.get(f"/conversations/{conversation}"))["unread_count"]


async def test_pages_of_the_list_have_no_overlap_and_no_gap(clients: Clients) -> None:
    anna, *others = await clients.users(8)
    made = [await anna.start_conversation(other) for other in others]
    for limit in (1, 3, 7, 30):
        listed = [item["id"] async for item in anna.pages("/conversations", "before", limit=limit)]
        assert made[::-1] == listed
    for cursor in ("", "garbage", "{}", "0", "x" * 500, "null", made[0], f"1700000000000-{made[0]}"):
        assert 422 == (await anna.call("GET", "/conversations", params={"before": cursor})).status_code, cursor


async def test_a_new_title_reaches_every_device_of_every_participant(clients: Clients) -> None:
    anna, ben = await clients.users(2)
    group = await anna.start_conversation(ben, title="Before")
    sockets = [await anna.chat_socket(), await ben.chat_socket()]
    changed = await anna.patch(f"/conversations/{group}", {"title": " After "})
    assert ("After", CONVERSATION) == (changed["title"], set(changed))
    for socket in sockets:
        event = await socket.event("conversation_updated")
        assert {"type", "conversation_id", "data"} == set(event)
        assert (group, "After", CONVERSATION) == (event["conversation_id"], event["data"]["title"], set(event["data"]))
    assert "After" == (await ben.get(f"/conversations/{group}"))["title"]


async def test_a_direct_conversation_has_fixed_participants_and_no_title(clients: Clients) -> None:
    """Both users can see it, so changes get 403."""
    anna, ben, cleo = await clients.users(3)
    direct = f"/conversations/{await anna.start_conversation(ben)}"
    await anna.expect_error(403, "forbidden", "POST", f"{direct}/participants", {"user_ids": [cleo.id]})
    await anna.expect_error(403, "forbidden", "DELETE", f"{direct}/participants/{ben.id}")
    await anna.expect_error(403, "forbidden", "DELETE", f"{direct}/participants/{anna.id}")
    await anna.expect_error(403, "forbidden", "PATCH", direct, {"title": "Ours"})
    assert {anna.id, ben.id} == set((await anna.get(direct))["participant_ids"])


async def test_added_users_get_access_and_removed_users_lose_it(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    group = await anna.start_conversation(ben, title="A group")
    await anna.send_message(group)
    await cleo.expect_error(404, "not_found", "GET", f"/conversations/{group}")
    hers, his = await cleo.chat_socket(), await ben.chat_socket()
    added = await anna.post(f"/conversations/{group}/participants", {"user_ids": [cleo.id, ben.id]})
    assert {anna.id, ben.id, cleo.id} == set(added["participant_ids"])
    for socket in (hers, his):
        event = await socket.event("conversation_updated")
        assert cleo.id in event["data"]["participant_ids"]
    await anna.send_message(group)
    assert group == (await hers.event("new_message"))["conversation_id"]
    await cleo.delete(f"/conversations/{group}/participants/{cleo.id}")
    assert {"type": "conversation_removed", "conversation_id": group} == await hers.event("conversation_removed")
    await cleo.expect_error(404, "not_found", "GET", f"/conversations/{group}")
    event = await his.event("conversation_updated", lambda event: cleo.id not in event["data"]["participant_ids"])
    assert {anna.id, ben.id} == set(event["data"]["participant_ids"])
    await anna.delete(f"/conversations/{group}/participants/{ben.id}")
    await his.event("conversation_removed")
    assert [anna.id] == (await anna.get(f"/conversations/{group}"))["participant_ids"]


async def test_the_owner_sets_roles_and_hands_the_group_over(clients: Clients) -> None:
    """Everybody learns of it; the participants are listed with their roles."""
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, cleo)}"
    socket = await cleo.chat_socket()
    promoted = await anna.patch(f"{group}/participants/{ben.id}", {"role": "admin"})
    assert ("owner", CONVERSATION) == (promoted["role"], set(promoted))
    assert "member" == (await socket.event("conversation_updated"))["data"]["role"]
    await ben.expect_error(403, "forbidden", "PATCH", f"{group}/participants/{cleo.id}", {"role": "admin"})
    await cleo.expect_error(403, "forbidden", "PATCH", group, {"title": "Mine"})
    await cleo.expect_error(403, "forbidden", "POST", f"{group}/participants", {"user_ids": [anna.id]})
    await ben.patch(group, {"title": "Ours"})
    handed_over = await anna.patch(f"{group}/participants/{ben.id}", {"role": "owner"})
    assert (ben.id, "admin") == (handed_over["owner_id"], handed_over["role"])
    await anna.expect_error(404, "not_found", "PATCH", f"{group}/participants/{NO_ID}", {"role": "admin"})
    listed = await cleo.get(f"{group}/participants")
    roles = [(one["user"], one["role"]) for one in listed["items"]]
    assert [(anna.profile, "admin"), (ben.profile, "owner"), (cleo.profile, "member")] == roles
    assert {"user", "role", "joined_at", "last_read_seq"} == set(listed["items"][0])
    pages = [await cleo.get(f"{group}/participants", limit=2)]
    pages.append(await cleo.get(f"{group}/participants", limit=2, after=pages[0]["next"]))
    assert (listed["items"], None) == ([one for page in pages for one in page["items"]], pages[1]["next"])


async def test_a_user_who_joins_later_sees_no_earlier_message(clients: Clients) -> None:
    """Nor its changes. Its rev is skipped, so that the user's client misses nothing."""
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, title='A group')}"
    old = await anna.send_message(group.split("/")[-1])
    await anna.post(f"{group}/participants", {"user_ids": [cleo.id]})
    socket = await cleo.chat_socket()
    await ben.put(f"{group}/messages/{old['id']}/reactions/👍")
    await cleo.expect_error(404, "not_found", "PUT", f"{group}/messages/{old['id']}/reactions/👍")
    await cleo.expect_error(404, "not_found", "GET", f"{group}/messages/{old['id']}")
    new = await anna.send_message(group.split("/")[-1])
    skipped = await socket.event("rev_skipped")
    assert {"type": "rev_skipped", "conversation_id": new["conversation_id"], "data": {"rev": 3}} == skipped
    assert 4 == (await socket.event("new_message"))["data"]["rev"]
    for query in ({}, {"after_rev": 0}):
        joined, found = (await cleo.get(f"{group}/messages", **query))["items"]
        assert ("joined", {"by": anna.id, "user_ids": [cleo.id], "user_count": 1}) == (joined["kind"], joined["event"])
        assert new == found
    await cleo.expect_error(403, "forbidden", "PATCH", group, {"history": "all"})
    assert "all" == (await anna.patch(group, {"history": "all"}))["history"]
    assert 2 == len((await cleo.get(f"{group}/messages"))["items"])


async def test_a_group_may_be_created_with_an_open_history(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    body = {"participant_ids": [ben.id], "title": "Open", "history": "all"}
    group = f"/conversations/{(await anna.post('/conversations', body))['id']}"
    old = await anna.send_message(group.split("/")[-1])
    await anna.post(f"{group}/participants", {"user_ids": [cleo.id]})
    assert [old] == (await cleo.get(f"{group}/messages"))["items"][:1]


async def test_changes_of_a_group_are_messages_in_it(clients: Clients) -> None:
    """They are numbered like others, never unread, and nobody changes them."""
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, title='A group')}"
    socket = await ben.chat_socket()
    await anna.post(f"{group}/participants", {"user_ids": [cleo.id]})
    await anna.patch(group, {"title": "A new name"})
    await anna.patch(group, {"title": "A new name"})
    await anna.patch(f"{group}/participants/{ben.id}", {"role": "admin"})
    await anna.delete(f"{group}/participants/{cleo.id}")
    events = [(await socket.event("new_message"))["data"] for _ in range(4)]
    assert (await anna.get(f"{group}/messages"))["items"] == events
    await ben.delete(f"{group}/participants/{ben.id}")
    shown = [
        (each["kind"], each["sender_id"], each["event"]) for each in (await anna.get(f"{group}/messages"))["items"]
    ]
    assert [
        ("joined", anna.id, {"by": anna.id, "user_ids": [cleo.id], "user_count": 1}),
        ("renamed", anna.id, {"by": anna.id, "title": "A new name"}),
        ("role", anna.id, {"by": anna.id, "user_ids": [ben.id], "user_count": 1, "role": "admin"}),
        ("removed", anna.id, {"by": anna.id, "user_ids": [cleo.id], "user_count": 1}),
        ("left", ben.id, {"by": ben.id}),
    ] == shown
    conversation = await anna.get(group)
    assert (5, 5, 0, 0) == tuple(
        conversation[name] for name in ("last_seq", "last_rev", "last_read_seq", "unread_count")
    )
    path = f"{group}/messages/{events[0]['id']}"
    await anna.expect_error(403, "forbidden", "PATCH", path, {"content": "never"})
    await anna.expect_error(403, "forbidden", "DELETE", path)
    await anna.expect_error(403, "forbidden", "PUT", f"{path}/reactions/👍")


async def test_an_invitation_is_looked_at_and_accepted(clients: Clients) -> None:
    """By a stranger, who does not see the group otherwise."""
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, title='A group')}"
    await ben.expect_error(403, "forbidden", "POST", f"{group}/invitations")
    answer = await anna.call("POST", f"{group}/invitations")
    invitation = answer.json()
    assert (201, {"token", "expires_at"}) == (answer.status_code, set(invitation))
    assert is_time(invitation["expires_at"])
    path = f"/invitations/{invitation['token']}"
    expected = {"conversation_id": None, "title": "A group", "participant_count": 2, "inviter": anna.profile}
    assert expected | {"expires_at": invitation["expires_at"]} == await cleo.get(path)
    await cleo.expect_error(404, "not_found", "GET", group)
    socket = await ben.chat_socket()
    joined = await cleo.post(path)
    assert ("member", CONVERSATION) == (joined["role"], set(joined))
    assert cleo.id in (await socket.event("conversation_updated"))["data"]["participant_ids"]
    await anna.delete(f"{group}/invitations")
    for method in ("GET", "POST"):
        await cleo.expect_error(404, "not_found", method, path)
        await cleo.expect_error(404, "not_found", method, f"/invitations/{'x' * 43}")


async def test_only_owner_and_admins_remove_other_participants(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, cleo)}"
    await ben.expect_error(403, "forbidden", "DELETE", f"{group}/participants/{cleo.id}")
    assert {anna.id, ben.id, cleo.id} == set((await ben.get(group))["participant_ids"])
    await anna.expect_error(404, "not_found", "DELETE", f"{group}/participants/{NO_ID}")
    await ben.delete(f"{group}/participants/{ben.id}")
    await anna.expect_error(404, "not_found", "DELETE", f"{group}/participants/{ben.id}")


async def test_a_group_gets_another_owner_and_ends_without_participants(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, cleo)}"
    await anna.delete(f"{group}/participants/{anna.id}")
    await anna.expect_error(404, "not_found", "GET", group)
    left = await ben.get(group)
    assert {ben.id, cleo.id} == set(left["participant_ids"])
    owner, other = (ben, cleo) if left["owner_id"] == ben.id else (cleo, ben)
    assert owner.id == left["owner_id"]
    await owner.delete(f"{group}/participants/{other.id}")
    await owner.delete(f"{group}/participants/{owner.id}")
    await owner.expect_error(404, "not_found", "GET", group)
    await owner.expect_error(404, "not_found", "POST", f"{group}/messages", {"content": "x"})


async def test_adding_an_unknown_user_adds_nobody(clients: Clients) -> None:
    anna, ben, cleo = await clients.users(3)
    group = f"/conversations/{await anna.start_conversation(ben, title='Group')}"
    answer = await anna.call("POST", f"{group}/participants", {"user_ids": [cleo.id, NO_ID]})
    assert answer.status_code in (404, 422)
    assert {anna.id, ben.id} == set((await anna.get(group))["participant_ids"])
    await cleo.expect_error(404, "not_found", "GET", group)


async def test_after_concurrent_renames_every_device_has_the_stored_title(any_clients: Clients) -> None:
    people = await any_clients.users(3)
    group = await people[0].start_conversation(*people[1:])
    for person in people[1:]:
        await people[0].patch(f"/conversations/{group}/participants/{person.id}", {"role": "admin"})
    sockets = [await person.chat_socket() for person in people for _ in range(2)]

    async def rename(person: User) -> None:
        for number in range(10):
            await person.patch(f"/conversations/{group}", {"title": f"{person.username} {number}"})

    await asyncio.gather(*(rename(person) for person in people))
    await people[0].send_message(group)
    title = (await people[0].get(f"/conversations/{group}"))["title"]
    for socket in sockets:
        await socket.event("conversation_updated", lambda event: event["data"]["title"] == title)
        await socket.event("new_message")
        last = [event["data"]["title"] for event in socket.received if event["type"] == "conversation_updated"][-1]
        assert title == last


async def test_conversation_removed_is_the_last_event_of_a_conversation(any_clients: Clients) -> None:
    """The other participants send messages all the while."""
    anna, ben, cleo = await any_clients.users(3)
    group, other = await anna.start_conversation(ben, cleo), await anna.start_conversation(ben)
    socket = await ben.chat_socket()

    async def chatter() -> None:
        for _ in range(15):
            await cleo.send_message(group)

    async def rename() -> None:
        for number in range(15):
            await anna.patch(f"/conversations/{group}", {"title": f"Number {number}"})

    talking = asyncio.gather(chatter(), chatter(), rename(), rename())
    await socket.event("new_message")
    await anna.delete(f"/conversations/{group}/participants/{ben.id}")
    await talking
    await socket.event("conversation_removed")
    await anna.send_message(other)
    await socket.event("new_message", lambda event: event["conversation_id"] == other)
    about = [event["type"] for event in socket.received if event.get("conversation_id") == group]
    assert "conversation_removed" == about[-1], about
    assert 1 == about.count("conversation_removed")
    for type_, fields in {
        "send_message": {"content": "hello"},
        "read": {"seq": 1},
        "typing": {},
    }.items():
        await socket.expect_error("not_found", type_, conversation_id=group, **fields)


async def test_a_user_who_joins_again_gets_the_events_again(clients: Clients) -> None:
    """By an invitation: one from after the removal."""
    anna, ben = await clients.users(2)
    group = await anna.start_conversation(ben, title="Come and go")
    socket = await ben.chat_socket()
    for seq in range(1, 4):
        await anna.delete(f"/conversations/{group}/participants/{ben.id}")
        await socket.event("conversation_removed")
        body = {"user_ids": [ben.id]}
        await anna.expect_error(403, "forbidden", "POST", f"/conversations/{group}/participants", body)
        invitation = await anna.post(f"/conversations/{group}/invitations")
        joined = await ben.post(f"/invitations/{invitation['token']}")
        assert (group, CONVERSATION) == (joined["id"], set(joined))
        await socket.event("conversation_updated")
        message = await anna.send_message(group)
        while (event := await socket.event("new_message"))["data"]["kind"] != "text":
            assert "joined" == event["data"]["kind"]
        # Each time, two messages said that Ben was removed and that he joined.
        assert (3 * seq, message["id"]) == (event["data"]["seq"], event["data"]["id"])
