"""Reports, and what moderators do about them."""

from datetime import UTC, datetime, timedelta

import pytest

from service.common.times import iso
from tests.protocol.clients import NO_ID, Clients, Json, User, is_id, is_time, problem, unique_text
from tests.protocol.moderator import make_moderator

SPAM = {"reason": "spam", "note": "Everywhere."}


def report_of(kind: str, id: str, **more: Json) -> Json:
    return {"subject": {"kind": kind, "id": id}, **SPAM, **more}


async def upload(user: User, name: str) -> Json:
    """Upload a file that contains its name."""
    return (await user.call("POST", "/attachments", params={"name": name}, content=name)).json()


async def moderator(clients: Clients) -> User:
    user = await clients.user()
    await make_moderator(user)
    return user


async def open_reports(reader: User, reporter: User) -> list[Json]:
    """Return the open reports by this user, the latest first."""
    items = (await reader.get("/moderation/reports", limit=100))["items"]
    return [item for item in items if item["reporter"]["id"] == reporter.id]


async def test_a_report_keeps_what_it_is_about(clients: Clients) -> None:
    """Of each kind. Editing or deleting it later changes nothing; reporting it again is the same report."""
    anna, ben, judge = *(await clients.users(2)), await moderator(clients)
    group = await ben.start_conversation(anna, title="A group")
    files = [await upload(ben, name) for name in ("chat.txt", "comment.txt")]
    message = await ben.send_message(group, unique_text("bad"), attachments=[files[0]["id"]])
    post = await ben.create_post()
    comment = await ben.comment(post, attachments=[files[1]["id"]])
    subjects = {"user": ben.id, "message": message["id"], "post": post, "comment": comment["id"]}
    contents = {
        "user": "",
        "message": message["content"],
        "post": (await ben.get(f"/posts/{post}"))["content"],
        "comment": comment["content"],
    }
    for kind, id in subjects.items():
        first = await anna.call("POST", "/reports", report_of(kind, id))
        again = await anna.call("POST", "/reports", report_of(kind, id, reason="abuse"))
        assert (201, 200) == (first.status_code, again.status_code)
        assert first.json() == again.json()
        assert "open" == first.json()["state"]
    await ben.patch(f"/conversations/{group}/messages/{message['id']}", {"content": "Harmless"})
    await ben.delete(f"/posts/{post}")
    found = {item["subject"]["kind"]: item for item in await open_reports(judge, anna)}
    [shown] = found["message"]["snapshot"]["attachments"]
    assert files[0]["name"] == (await clients.http.get(shown["url"])).text
    await judge.expect_error(404, "not_found", "GET", f"/attachments/{shown['id']}")
    assert set(subjects) == set(found)
    for kind, item in found.items():
        place = {"message": (group, None), "comment": (None, post)}.get(kind, (None, None))
        assert {"kind": kind, "id": subjects[kind], "conversation_id": place[0], "post_id": place[1]} == item["subject"]
        assert (ben.id, "spam", "Everywhere.") == (item["author"]["id"], item["reason"], item["note"])
        assert contents[kind] == item["snapshot"]["content"]
        attached = {"message": files[:1], "comment": files[1:]}.get(kind, [])
        assert [each["id"] for each in attached] == [each["id"] for each in item["snapshot"]["attachments"]]
        assert (ben.profile if kind == "user" else None) == item["snapshot"]["profile"]
        assert is_id(item["id"])
        assert is_time(item["created_at"])


async def test_only_what_the_reporter_sees_can_be_reported(clients: Clients) -> None:
    """And of messages those that somebody has written."""
    anna, ben, eve = await clients.users(3)
    group = await ben.start_conversation(anna, title="A group")
    message = await ben.send_message(group)
    post = await ben.create_post()
    comment = (await anna.comment(post))["id"]
    for kind in ("user", "message", "post", "comment"):
        await eve.expect_error(404, "not_found", "POST", "/reports", report_of(kind, NO_ID))
    await eve.expect_error(404, "not_found", "POST", "/reports", report_of("message", message["id"]))
    await ben.patch(f"/conversations/{group}", {"title": "Another name"})
    renamed = (await anna.get(f"/conversations/{group}/messages"))["items"][-1]
    assert "renamed" == renamed["kind"]
    await anna.expect_error(404, "not_found", "POST", "/reports", report_of("message", renamed["id"]))
    await eve.put(f"/users/{ben.id}/block")
    for kind, id in (("post", post), ("comment", comment)):
        await eve.expect_error(404, "not_found", "POST", "/reports", report_of(kind, id))
    await ben.delete(f"/conversations/{group}/messages/{message['id']}")
    await anna.expect_error(404, "not_found", "POST", "/reports", report_of("message", message["id"]))
    for body in (report_of("user", anna.id), report_of("user", ben.id, note="x" * 1001), report_of("chat", ben.id)):
        await anna.expect_error(422, "validation_failed", "POST", "/reports", body)


async def test_only_moderators_moderate(clients: Clients) -> None:
    """With the next request after the role was granted or taken away."""
    anna, ben = await clients.users(2)
    await anna.post("/reports", report_of("user", ben.id))
    calls: list[tuple[str, str, Json]] = [
        ("GET", "/moderation/reports", None),
        ("GET", "/moderation/log", None),
        ("PUT", f"/moderation/reports/{NO_ID}", {"state": "resolved"}),
        ("PUT", f"/moderation/users/{ben.id}/ban", {"until": None, "reason": "Spam"}),
        ("DELETE", f"/moderation/users/{ben.id}/ban", None),
        ("GET", "/moderation/bans", None),
    ]
    for call in calls:
        await anna.expect_error(403, "forbidden", *call)
    await make_moderator(anna)
    assert ["moderator"] == (await anna.get("/users/me"))["roles"]
    assert anna.profile == await ben.get(f"/users/{anna.id}")
    await anna.get("/moderation/reports")
    await anna.expect_error(404, "not_found", *calls[2])
    await make_moderator(anna, on=False)
    for call in calls:
        await anna.expect_error(403, "forbidden", *call)
    await ben.get("/users/me")


async def test_a_report_is_closed_and_the_log_says_by_whom(clients: Clients) -> None:
    anna, ben, judge = *(await clients.users(2)), await moderator(clients)
    report = await anna.post("/reports", report_of("user", ben.id))
    for state in ("resolved", "resolved", "dismissed", "open"):
        changed = await judge.put(f"/moderation/reports/{report['id']}", {"state": state})
        assert state == changed["state"]
        assert (None if state == "open" else judge.profile) == changed["closed_by"]
    assert [report["id"]] == [item["id"] for item in await open_reports(judge, anna)]
    entries = [each for each in (await judge.get("/moderation/log"))["items"] if each["subject"]["id"] == ben.id]
    assert ["reopen", "dismiss", "resolve"] == [entry["action"] for entry in entries]
    assert [judge.profile] * 3 == [entry["by"] for entry in entries]
    first = await judge.get("/moderation/log", limit=2)
    rest = await judge.get("/moderation/log", limit=1, before=first["next"])
    assert rest["items"][0]["id"] not in {entry["id"] for entry in first["items"]}
    for path in ("/moderation/log", "/moderation/bans", "/moderation/reports"):
        await judge.expect_error(422, "validation_failed", "GET", path, params={"before": "nonsense"})


async def test_moderators_delete_what_was_reported_and_nothing_else(clients: Clients) -> None:
    """Also in conversations in which they do not take part. Participants see the tombstone at once."""
    anna, ben, judge = *(await clients.users(2)), await moderator(clients)
    group = await ben.start_conversation(anna, title="A group")
    message, other = [await ben.send_message(group) for _ in range(2)]
    post = await ben.create_post()
    comment, other_comment = [(await ben.comment(post))["id"] for _ in range(2)]
    for kind, id in (("message", message["id"]), ("comment", comment)):
        await anna.post("/reports", report_of(kind, id))
    socket = await anna.chat_socket()
    await judge.delete(f"/conversations/{group}/messages/{message['id']}")
    event = (await socket.event("message_updated"))["data"]
    assert (message["id"], True, "") == (event["id"], event["deleted"], event["content"])
    await judge.delete(f"/posts/{post}/comments/{comment}")
    assert [other_comment] == [item["id"] for item in (await anna.get(f"/posts/{post}/comments"))["items"]]
    await judge.expect_error(404, "not_found", "DELETE", f"/conversations/{group}/messages/{other['id']}")
    await judge.expect_error(403, "forbidden", "DELETE", f"/posts/{post}/comments/{other_comment}")
    await judge.expect_error(403, "forbidden", "DELETE", f"/posts/{post}")
    await anna.post("/reports", report_of("post", post))
    await anna.expect_error(403, "forbidden", "DELETE", f"/posts/{post}")
    await judge.delete(f"/posts/{post}")
    await anna.expect_error(404, "not_found", "GET", f"/posts/{post}")
    log = [entry for entry in (await judge.get("/moderation/log"))["items"] if entry["by"] == judge.profile]
    assert [("delete", post), ("delete", comment), ("delete", message["id"])] == [
        (entry["action"], entry["subject"]["id"]) for entry in log
    ]


async def test_a_ban_ends_everything_at_once_and_itself_in_time(four_worker_clients: Clients) -> None:
    """On every worker: tokens, tickets, sockets and streams. What the user has written stays."""
    anna, judge = await four_worker_clients.user(), await moderator(four_worker_clients)
    post = await anna.create_post()
    sockets = [await anna.chat_socket() for _ in range(3)]
    stream = await anna.stream()
    ticket = (await anna.post("/auth/ticket"))["ticket"]
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    banned = await judge.put(f"/moderation/users/{anna.id}/ban", {"until": iso(until), "reason": "Spam"})
    assert {"user_id": anna.id, "until": iso(until)} == banned
    for socket in sockets:
        assert (1008, "token_revoked") == await socket.closed()
    await stream.closed()
    await anna.expect_error(401, "token_revoked", "GET", "/users/me")
    refused = await four_worker_clients.socket(query={"ticket": ticket})
    assert (1008, "token_revoked") == await refused.closed()
    sign_in = {"username": anna.username, "password": anna.password}
    for path, body in (("/auth/login", sign_in), ("/auth/refresh", {"refresh_token": anna.refresh_token})):
        refusal = problem(await four_worker_clients.call("POST", path, json=body), 403, "banned")
        assert iso(until) == refusal["until"]
    wrong = sign_in | {"password": "not the password"}
    problem(await four_worker_clients.call("POST", "/auth/login", json=wrong), 401, "bad_credentials")
    assert anna.id == (await judge.get(f"/posts/{post}"))["author"]["id"]
    await judge.put(f"/moderation/users/{anna.id}/ban", {"until": None, "reason": "Spam, again"})
    assert None is problem(await four_worker_clients.call("POST", "/auth/login", json=sign_in), 403, "banned")["until"]
    past = iso(datetime.now(UTC) - timedelta(seconds=1))
    await judge.put(f"/moderation/users/{anna.id}/ban", {"until": past, "reason": "Enough"})
    await anna.sign_in_again()
    await judge.put(f"/moderation/users/{anna.id}/ban", {"until": None, "reason": "No"})
    await judge.delete(f"/moderation/users/{anna.id}/ban")
    await anna.sign_in_again()
    log = [entry for entry in (await judge.get("/moderation/log"))["items"] if entry["subject"]["id"] == anna.id]
    assert ["unban", "ban", "ban", "ban", "ban"] == [entry["action"] for entry in log]
    assert (iso(until), "Spam") == (log[-1]["until"], log[-1]["reason"])


async def test_the_list_of_bans_has_those_in_force(clients: Clients) -> None:
    """The latest first, in pages. One that has expired, or was lifted, is not in it."""
    judge, *others = await moderator(clients), *(await clients.users(4))
    until = iso(datetime.now(UTC).replace(microsecond=0) + timedelta(days=1))
    past = iso(datetime.now(UTC) - timedelta(seconds=1))
    for user, end in zip(others, (None, until, past, None), strict=True):
        await judge.put(f"/moderation/users/{user.id}/ban", {"until": end, "reason": f"Spam of {user.username}"})
    await judge.delete(f"/moderation/users/{others[3].id}/ban")
    ids = [user.id for user in others]
    listed = [each async for each in judge.pages("/moderation/bans", "before", limit=1) if each["user"]["id"] in ids]
    assert [ids[1], ids[0]] == [each["user"]["id"] for each in listed]
    assert [until, None] == [each["until"] for each in listed]
    for each, user in zip(listed, (others[1], others[0]), strict=True):
        assert (user.profile, judge.profile, f"Spam of {user.username}") == (each["user"], each["by"], each["reason"])
        assert is_time(each["at"])


@pytest.mark.parametrize("whom", ["oneself", "another moderator", "nobody"])
async def test_who_cannot_be_banned(clients: Clients, whom: str) -> None:
    judge = await moderator(clients)
    ids = {"oneself": judge.id, "nobody": NO_ID}
    errors = {"oneself": (422, "validation_failed"), "nobody": (404, "not_found")}
    id = ids.get(whom) or (await moderator(clients)).id
    body = {"until": None, "reason": "Spam"}
    await judge.expect_error(*errors.get(whom, (403, "forbidden")), "PUT", f"/moderation/users/{id}/ban", body)
