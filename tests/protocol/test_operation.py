"""Endpoints for operators: health, metrics, the documents."""

import re

from tests.protocol.clients import API, Clients

CALLS = {
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/logout",
    "POST /auth/password",
    "POST /auth/password/reset",
    "GET /auth/sessions",
    "DELETE /auth/sessions/{}",
    "POST /auth/ticket",
    "GET /users/me",
    "PATCH /users/me",
    "DELETE /users/me",
    "GET /users/me/export",
    "GET /users",
    "GET /users/{}",
    "GET /presence",
    "GET /announcement",
    "POST /conversations",
    "GET /conversations",
    "GET /conversations/{}",
    "PATCH /conversations/{}",
    "GET /conversations/{}/participants",
    "POST /conversations/{}/participants",
    "PATCH /conversations/{}/participants/{}",
    "DELETE /conversations/{}/participants/{}",
    "POST /conversations/{}/invitations",
    "DELETE /conversations/{}/invitations",
    "GET /invitations/{}",
    "POST /invitations/{}",
    "PUT /users/{}/block",
    "DELETE /users/{}/block",
    "GET /blocks",
    "PUT /conversations/{}/mute",
    "DELETE /conversations/{}/mute",
    "PUT /conversations/{}/archive",
    "DELETE /conversations/{}/archive",
    "DELETE /conversations/{}/history",
    "GET /conversations/{}/messages",
    "POST /conversations/{}/messages",
    "GET /conversations/{}/messages/{}",
    "PATCH /conversations/{}/messages/{}",
    "DELETE /conversations/{}/messages/{}",
    "PUT /conversations/{}/messages/{}/reactions/{}",
    "DELETE /conversations/{}/messages/{}/reactions/{}",
    "PUT /conversations/{}/read",
    "GET /ws/chat",
    "POST /posts",
    "GET /posts",
    "GET /posts/{}",
    "PATCH /posts/{}",
    "DELETE /posts/{}",
    "PATCH /posts/{}/comments/{}",
    "DELETE /posts/{}/comments/{}",
    "POST /posts/{}/comments",
    "PUT /posts/{}/reactions/{}",
    "DELETE /posts/{}/reactions/{}",
    "PUT /posts/{}/comments/{}/reactions/{}",
    "DELETE /posts/{}/comments/{}/reactions/{}",
    "PUT /posts/{}/mute",
    "DELETE /posts/{}/mute",
    "GET /posts/{}/comments",
    "GET /notifications",
    "GET /notifications/unread_count",
    "PUT /notifications/{}/read",
    "PUT /notifications/read",
    "GET /notifications/groups",
    "GET /notifications/preferences",
    "PUT /notifications/preferences",
    "GET /notifications/stream",
    "GET /push/key",
    "POST /push/subscriptions",
    "DELETE /push/subscriptions",
    "GET /ws/notifications",
    "GET /search/messages",
    "POST /attachments",
    "PATCH /attachments/{}",
    "GET /attachments/{}",
    "GET /attachments/{}/thumbnail",
    "GET /attachments/{}/avatar",
    "POST /reports",
    "GET /moderation/reports",
    "PUT /moderation/reports/{}",
    "GET /moderation/log",
    "GET /moderation/bans",
    "PUT /moderation/users/{}/ban",
    "DELETE /moderation/users/{}/ban",
}

LIVE = {"GET /ws/chat", "GET /ws/notifications", "GET /notifications/stream"}
OPEN = {
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/password/reset",
    "GET /attachments/{}/avatar",
}


async def test_health_endpoints_answer_200_without_a_token(clients: Clients) -> None:
    for path in ("/healthz", "/readyz"):
        assert 200 == (await clients.http.get(path)).status_code
        assert 200 == (await clients.http.head(path)).status_code
        assert 404 == (await clients.http.get(API + path)).status_code


async def test_metrics_are_valid_prometheus_text_and_change_with_events(clients: Clients) -> None:
    anna = await clients.user()

    async def scrape() -> dict[str, float]:
        answer = await clients.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        values = {}
        for line in answer.text.splitlines():
            if line and not line.startswith("#"):
                match = re.fullmatch(r"([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)", line)
                assert match, line
                values[match[1]] = float(match[2])
        return values

    before = await scrape()
    await anna.chat_socket()
    after = await scrape()
    live = [name for name in after if "connections" in name and "chat" in name and after[name] > before.get(name, 0)]
    assert live, "a new socket shows"
    assert not [name for name in after if anna.id in name or anna.username in name]


UNLIMITED = {"POST /auth/logout", "DELETE /auth/sessions/{}"}
"""A user can always end a session."""


async def test_the_openapi_document_has_exactly_the_calls_of_the_contract(clients: Clients) -> None:
    """With their errors as problem documents."""
    document = (await clients.http.get("/docs/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    found = {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path).removeprefix(API)}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith(API)
    }
    assert CALLS == set(found)
    for call, operation in found.items():
        assert operation["summary"], call
        responses = operation["responses"]
        assert [status for status in responses if status[0] in "12"], call
        errors = {"503"} if call in UNLIMITED else {"503", "429"}
        if call in LIVE:
            errors.add("403")
        if call not in OPEN:
            assert operation["security"], call
            # A socket is accepted and closed with the reason, for a browser shows its page nothing else.
            errors |= set() if "/ws/" in call else {"401"}
        if "requestBody" in operation:
            # The body of an upload is no JSON.
            errors |= {"413", "422"} if call == "POST /attachments" else {"400", "413", "422"}
        assert ("requestBody" in operation) == _has_body(call), call
        if "{}" in call:
            errors.add("404")
        assert errors <= set(responses), (call, errors - set(responses))
        for status, response in responses.items():
            if status[0] not in "123":
                assert {"application/problem+json"} == set(response["content"]), (call, status)


def _has_body(call: str) -> bool:
    if call.split()[0] not in ("POST", "PATCH", "PUT"):
        return call in ("DELETE /auth/sessions/{}", "DELETE /push/subscriptions", "DELETE /users/me")
    return (
        call
        not in (
            "POST /auth/logout",
            "POST /auth/ticket",
            "PUT /users/{}/block",
            "PUT /posts/{}/mute",
            "PUT /notifications/{}/read",
        )
        and "reactions" not in call
        and "archive" not in call
        and "invitations" not in call
    )


async def test_every_ref_of_both_documents_resolves(clients: Clients) -> None:
    for path in ("/docs/openapi.json", "/asyncapi.json"):
        answer = await clients.http.get(path)
        assert 200 == answer.status_code
        document = answer.json()
        for reference in set(re.findall(r'"\$ref"\s*:\s*"#/([^"]+)"', answer.text)):
            value = document
            for part in reference.replace("\\/", "/").split("/"):
                value = value[part.replace("~1", "/").replace("~0", "~")]


async def test_the_asyncapi_document_has_every_frame_and_event_in_its_direction(clients: Clients) -> None:
    document = (await clients.http.get("/asyncapi.json")).json()
    assert document["asyncapi"].startswith("3.")
    names = {
        name: {
            direction: {key.split(".")[-1] for key in channel["messages"] if key.split(".")[1] == direction}
            for direction in ("received", "sent")
        }
        for name, channel in document["channels"].items()
    }
    chat = {"send_message", "read", "typing", "sync", "watch_presence", "watch_posts", "authenticate", "ping"}
    assert chat == names["chat"]["received"]
    events = "hello ack error pong new_message message_updated read typing presence conversation_updated sync reset"
    events += " profile_updated block_updated history_cleared rev_skipped"
    events += " post_created post_updated comment_created comment_updated post_mute_updated"
    assert {*events.split(), "conversation_removed", "token_expiring", "draining", "announcement"} == names["chat"][
        "sent"
    ]
    named = {"hello", "notification", "unread_count", "notifications_deleted", "preferences_updated"}
    named |= {"reset", "token_expiring", "draining"}
    assert (set(), named | {"heartbeat"}) == tuple(names["notification_stream"][way] for way in ("received", "sent"))
    assert named <= names["notification_socket"]["sent"]
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {API + "/ws/chat", API + "/notifications/stream", API + "/ws/notifications", None} == addresses


async def test_the_docs_page_loads_no_scripts_of_other_hosts(clients: Clients) -> None:
    answer = await clients.http.get("/docs")
    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)
