"""What the log contains, and what it must not. Each server's own log is checked again after its stop."""

import json

from tests.protocol.clients import PASSWORD_MARK, Clients, unique_text
from tests.protocol.servers import TOKEN, check_log_for_secrets


async def test_the_log_has_requests_and_no_secrets(clients: Clients) -> None:
    """Each line is JSON with a time; a request is found by its id; no credential, name or content is logged."""
    anna, ben = await clients.users(2)
    direct = await anna.start_conversation(ben)
    answer = await anna.call("POST", f"/conversations/{direct}/messages", {"content": unique_text()})
    await anna.chat_socket()
    await clients.socket(query={"token": "eyJ" + "garbage" * 9})
    await clients.socket(query={"ticket": "garbage" * 9})
    await anna.stream()
    await clients.call("POST", "/auth/login", json={"username": anna.username, "password": PASSWORD_MARK + "wrong"})
    await clients.http.get("/api/v1/nothing", params={"token": anna.token})
    await clients.call(
        "POST", "/auth/login", content=PASSWORD_MARK + '{"', headers={"Content-Type": "application/json"}
    )
    socket = await anna.chat_socket()
    await socket.send_raw(json.dumps({"type": "send_message", "content": unique_text(), "conversation_id": {}}))
    await socket.event("error")
    await clients.http.get("/healthz")
    text = clients.server.text
    assert answer.headers["X-Request-ID"] in text
    lines = [line for line in text.splitlines() if line.startswith("{")]
    assert len(lines) > 10
    for line in lines:
        assert {"timestamp", "level", "event"} <= set(json.loads(line))
    check_log_for_secrets(clients.server)
    assert anna.refresh_token not in text
    assert not TOKEN.search(text)


def test_the_patterns_for_secrets_match_secrets() -> None:
    for text in ("eyJhbGciOiJIUzI1NiJ9.e30.x", "?ticket=3f2b", "GET /x?token=abc HTTP", "&token=eyJhbGciOi"):
        assert TOKEN.search(text), text
    for text in ("?token=[hidden]", "token_missing", '"code": "token_expired"', "?ticket=***", "eyJ"):
        assert not TOKEN.search(text), text
