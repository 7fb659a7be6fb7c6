"""Invalid frames and ids are rejected without side effects."""

import json

import pytest

from tests.protocol.clients import Json, User
from tests.protocol.test_bodies import OPERATORS

FRAMES: list[tuple[Json, str]] = [
    ({"type": "send_message"}, "conversation_id"),
    ({"type": "send_message", "conversation_id": "{direct}"}, "content"),
    ({"type": "send_message", "conversation_id": "{direct}", "content": "x", "surprise": 1}, "surprise"),
    ({"type": "read", "conversation_id": "{direct}"}, "seq"),
    ({"type": "read", "conversation_id": "{direct}", "seq": "1"}, "seq"),
    ({"type": "read", "conversation_id": "{direct}", "seq": 1.5}, "seq"),
    ({"type": "read", "conversation_id": "{direct}", "seq": -1}, "seq"),
    ({"type": "read", "conversation_id": "{direct}", "seq": 10**30}, "seq"),
    ({"type": "typing"}, "conversation_id"),
    ({"type": "sync"}, "conversations"),
    ({"type": "sync", "conversations": ["{direct}"]}, "conversations"),
    ({"type": "sync", "conversations": {"{direct}": "0"}}, "conversations"),
    ({"type": "sync", "conversations": {"{direct}": -1}}, "conversations"),
    ({"type": "sync", "conversations": {"$where": 1}}, "conversations"),
    ({"type": "watch_presence"}, "user_ids"),
    ({"type": "watch_presence", "user_ids": "x"}, "user_ids"),
    ({"type": "watch_presence", "user_ids": ["0" * 24] * 201}, "user_ids"),
    ({"type": "watch_posts"}, "post_ids"),
    ({"type": "watch_posts", "post_ids": "feed"}, "post_ids"),
    ({"type": "watch_posts", "post_ids": ["0" * 24] * 51}, "post_ids"),
    ({"type": "watch_posts", "post_ids": ["all"]}, "post_ids"),
    ({"type": "watch_posts", "post_ids": [{"$gt": ""}]}, "post_ids"),
    ({"type": "authenticate"}, "token"),
    ({"type": "authenticate", "token": 1}, "token"),
    ({"type": "ping", "surprise": 1}, "surprise"),
    ({"type": "unheard_of"}, "type"),
    ({"type": 1}, "type"),
    ({"type": None}, "type"),
    ({}, "type"),
    *[({"type": "send_message", "conversation_id": wrong, "content": "x"}, "conversation_id") for wrong in OPERATORS],
    *[({"type": "send_message", "conversation_id": "{direct}", "content": wrong}, "content") for wrong in OPERATORS],
    *[
        ({"type": "send_message", "conversation_id": "{direct}", "content": "x", field: {"$gt": ""}}, field)
        for field in ("nonce", "reply_to")
    ],
    *[({"type": type_, "conversation_id": {"$gt": ""}, "seq": 1}, "conversation_id") for type_ in ("read", "typing")],
    ({"type": "watch_presence", "user_ids": [{"$gt": ""}]}, "user_ids"),
    ({"type": "authenticate", "token": {"$gt": ""}}, "token"),
]


async def test_an_invalid_frame_gets_one_error_that_names_the_field(anna: User, ben: User) -> None:
    """The socket stays open, and nothing is stored."""
    direct = await anna.start_conversation(ben)
    socket = await anna.chat_socket()

    def replace(value: Json) -> Json:
        if isinstance(value, dict):
            return {replace(key): replace(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replace(item) for item in value]
        return value.replace("{direct}", direct) if isinstance(value, str) else value

    for frame, field in FRAMES:
        fields = replace(frame)
        type_ = fields.pop("type", "(none)")
        ref = f"f-{len(socket.received)}"
        await socket.send_raw(json.dumps({"ref": ref, **({} if type_ == "(none)" else {"type": type_}), **fields}))
        answer = await socket.reply_to(ref)
        assert ("error", "validation_failed") == (answer["type"], answer["code"]), (frame, answer)
        assert field in {error["field"].partition(".")[0] for error in answer["errors"]}, (frame, answer)
    await socket.flush()
    assert [] == socket.remaining()
    assert 0 == (await anna.get(f"/conversations/{direct}"))["last_seq"]


@pytest.mark.parametrize("user_ids", [None, "", "x", ",", "{anna},x", "{anna},,", ",".join(["0" * 24] * 201)])
async def test_user_ids_has_1_to_200_ids(anna: User, user_ids: str | None) -> None:
    """Whether an empty item is ignored is not specified."""
    query = {} if user_ids is None else {"user_ids": user_ids.format(anna=anna.id)}
    answer = await anna.call("GET", "/presence", params=query)
    assert 422 == answer.status_code or (user_ids == "{anna},," and [anna.id] == list(answer.json()))


async def test_an_invalid_id_in_a_path_answers_like_an_unknown_one(anna: User) -> None:
    """Operators of the database have no effect."""
    missing = None
    for id_ in ("0" * 24, "x", "%7B%22%24gt%22%3A%22%22%7D", "%00", "0" * 25, "Z" * 24, "%F0%9F%98%80"):
        for method, path, body in (
            ("GET", f"/conversations/{id_}", None),
            ("GET", f"/conversations/{id_}/messages", None),
            ("POST", f"/conversations/{id_}/messages", {"content": "x"}),
            ("GET", f"/posts/{id_}", None),
            ("GET", f"/posts/{id_}/comments", None),
            ("POST", f"/posts/{id_}/comments", {"content": "x"}),
            ("PUT", f"/notifications/{id_}/read", None),
            ("DELETE", f"/auth/sessions/{id_}", None),
            ("GET", f"/users/{id_}", None),
        ):
            problem = await anna.expect_error(404, "not_found", method, path, body)
            missing = missing or problem
            assert missing == problem


async def test_an_id_in_capitals_is_the_same_id_or_rejected(anna: User, ben: User) -> None:
    """It is never another conversation or a second one."""
    direct = await anna.start_conversation(ben)
    answer = await anna.call("POST", "/conversations", {"participant_ids": [ben.id.upper()]})
    assert (answer.status_code, answer.json().get("id")) in ((200, direct), (422, None))
    answer = await anna.call("GET", f"/conversations/{direct.upper()}")
    assert (answer.status_code, answer.json().get("id")) in ((200, direct), (404, None))
