"""Every body of every call, and every frame: what is not as the contract says is refused, and changes nothing."""

import json
from typing import Any

import httpx
import pytest

from tests.protocol.socket import Socket
from tests.protocol.world import PASSWORD_MARK, Json, Person, World, words

OPERATORS: list[Json] = [{"$gt": ""}, {"$ne": None}, {"$where": "1"}, {"$regex": ".*"}]
WRONG_TYPES: list[Json] = [None, True, 1, 1.5, [], ["x"], {}]


@pytest.fixture
async def anna(world: World) -> Person:
    return await world.person()


@pytest.fixture
async def ben(world: World) -> Person:
    return await world.person()


class Body:
    """A call with a body that is right, of whose fields each is made wrong in turn."""

    def __init__(self, method: str, path: str, strings: Json, others: Json = None, optional: str = "") -> None:
        """`strings` and `others`: its fields with values that are right; `optional`: those that may be null."""
        self.method = method
        self.path = path
        self.strings = strings
        self.others = others or {}
        self.optional = optional.split()

    @property
    def right(self) -> Json:
        return {**self.strings, **self.others}

    def wrong(self) -> list[tuple[str, Json]]:
        bodies: list[tuple[str, Json]] = []
        for field in self.right:
            wrong = OPERATORS + [value for value in WRONG_TYPES if value is not None or field not in self.optional]
            if field in self.others:
                kept = type(self.others[field])
                wrong = [value for value in wrong if type(value) is not kept] + ["x", "1"]
            bodies += [(field, {**self.right, field: value}) for value in wrong]
            bodies += [(f"{field}.0", {**self.right, field: [operator]}) for operator in OPERATORS]
        bodies += [("surprise", {**self.right, "surprise": 1}), ("$where", {**self.right, "$where": "1"})]
        bodies += [("body", body) for body in ([], "text", 1, True, [self.right])]
        return bodies


async def bodies_of(anna: Person, ben: Person) -> list[Body]:
    group = await anna.talk(ben, title="A group")
    message = await anna.say(group)
    post = await anna.publish()
    in_group = f"/conversations/{group}"
    password = f"{PASSWORD_MARK}-x"
    name = f"x{anna.username[:20]}"
    return [
        Body(
            "POST",
            "/auth/register",
            {"username": name, "password": password, "display_name": "X"},
            None,
            "display_name",
        ),
        Body("POST", "/auth/login", {"username": anna.username, "password": anna.password}),
        Body("POST", "/auth/refresh", {"refresh_token": anna.refresh_token}),
        Body("POST", "/auth/password", {"current_password": anna.password, "new_password": password}),
        Body("PATCH", "/users/me", {"display_name": "X", "avatar": "https://x.example/x"}, None, "avatar"),
        Body("POST", "/conversations", {"title": "X"}, {"participant_ids": [ben.id]}, "title"),
        Body("PATCH", in_group, {"title": "X"}),
        Body("POST", f"{in_group}/participants", {}, {"user_ids": [ben.id]}),
        Body(
            *("POST", f"{in_group}/messages"),
            {"content": words(), "nonce": "n", "reply_to": message["id"]},
            None,
            "nonce reply_to",
        ),
        Body("PATCH", f"{in_group}/messages/{message['id']}", {"content": words()}),
        Body("PUT", f"{in_group}/read", {}, {"seq": 1}),
        Body("POST", "/posts", {"content": words()}),
        Body(
            *("POST", f"/posts/{post}/comments"),
            {"content": words(), "nonce": "n", "parent_id": post},
            None,
            "nonce parent_id",
        ),
        Body("PUT", "/notifications/read", {}, {"up_to_seq": 1}),
    ]


async def test_wrong_bodies(anna: Person, ben: Person) -> None:
    """A field of another type, an operator of the database in it, an unknown field: 422 that names it, nothing done."""
    found = []
    for body in await bodies_of(anna, ben):
        before = await ben.get("/conversations"), await anna.get("/users/me"), await anna.get("/posts")
        for field, wrong in body.wrong():
            answer = await anna.call(body.method, body.path, wrong)
            named = [error["field"].partition(".")[0] for error in answer.json().get("errors", [])]
            if answer.status_code != 422 or (field != "body" and field.partition(".")[0] not in named):
                found.append((body.method, body.path, wrong, answer.status_code, named))
        assert before == (await ben.get("/conversations"), await anna.get("/users/me"), await anna.get("/posts"))
    assert [] == found
    await anna.device()


async def test_missing_fields(anna: Person, ben: Person) -> None:
    """A body without a field that is required names what is missing."""
    required = {"username", "password", "refresh_token", "current_password", "new_password", "content"}
    required |= {"participant_ids", "user_ids", "seq", "up_to_seq"}
    for body in await bodies_of(anna, ben):
        for field in required & set(body.right):
            less = {name: value for name, value in body.right.items() if name != field}
            problem = await anna.refused(422, "validation_failed", body.method, body.path, less)
            assert [field] == [error["field"] for error in problem["errors"]]


async def test_what_is_no_json(anna: Person, ben: Person) -> None:
    """A body that cannot be read as JSON is told apart from one that says the wrong thing."""
    for body in await bodies_of(anna, ben):
        for raw in (b"", b"{", b"{'a': 1}", b'{"a": NaN}', b"\xff\xfe", b'{"content": "\xff"}', b"{} {}", b"[" * 5000):
            headers = anna.bearer | {"Content-Type": "application/json"}
            answer = await anna.world.call(body.method, body.path, headers=headers, content=raw)
            assert 400 <= answer.status_code < 500, (body.path, raw[:20], answer.text)
            assert answer.json()["code"] in ("malformed_json", "validation_failed"), (body.path, raw[:20], answer.text)
        headers = anna.bearer | {"Content-Type": "application/json"}
        answer = await anna.world.call(body.method, body.path, headers=headers, content=b"{")
        assert (400, "malformed_json") == (answer.status_code, answer.json()["code"])


async def test_a_body_that_is_too_large(anna: Person, ben: Person) -> None:
    """A body beyond all sense is 413, whether its length was announced or not, and the next request is answered."""
    for body in await bodies_of(anna, ben):
        large = {**body.right, next(iter(body.right)): "x" * 70_000}
        await anna.refused(413, "too_large", body.method, body.path, large)
    headers = anna.bearer | {"Content-Type": "application/json"}

    async def chunks() -> Any:
        yield b'{"content": "'
        for _ in range(200):
            yield b"x" * 10_000
        yield b'"}'

    try:
        answer = await anna.world.call("POST", "/posts", headers=headers, content=chunks())
    except httpx.TransportError:
        pass  # The server has answered and closed while this client was still sending, and did not look.
    else:
        assert (413, "too_large") == (answer.status_code, answer.json()["code"])
    await anna.get("/users/me")


@pytest.mark.parametrize(("length", "fits"), [(2, False), (3, True), (32, True), (33, False)])
async def test_length_of_a_username(world: World, length: int, fits: bool) -> None:
    """3 to 32 characters."""
    name = f"n{world.server.pid:x}{length:02}".ljust(length, "z")[:length] if length > 3 else "abc"[:length]
    answer = await world.call("POST", "/auth/register", json={"username": name, "password": PASSWORD_MARK})
    assert (201 if fits else 422) == answer.status_code


@pytest.mark.parametrize(
    "name", ["a b", "añb", "a-b-c", "a@b", "abc\0", "abc\n", " abcd", "ａｂｃ", "İstanbul", "a/b", "ſss", ""]
)
async def test_characters_of_a_username(world: World, name: str) -> None:
    """Nothing but `a-z 0-9 _ .`, and what only looks or folds like them is not taken for them."""
    answer = await world.call("POST", "/auth/register", json={"username": name, "password": PASSWORD_MARK})
    assert (422, ["username"]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])


@pytest.mark.parametrize(("length", "fits"), [(7, False), (8, True), (128, True), (129, False)])
async def test_length_of_a_password(world: World, length: int, fits: bool) -> None:
    """8 to 128 characters, not bytes: both when one registers and when one changes it."""
    anna = await world.person()
    password = ("ü" + PASSWORD_MARK * 9)[:length]
    body = {"username": f"p{anna.username[:20]}", "password": password}
    assert (201 if fits else 422) == (await world.call("POST", "/auth/register", json=body)).status_code
    change = {"current_password": anna.password, "new_password": password}
    assert (204 if fits else 422) == (await anna.call("POST", "/auth/password", change)).status_code
    anna.password = password if fits else anna.password
    await anna.device()


@pytest.mark.parametrize(("length", "fits"), [(0, False), (1, True), (64, True), (65, False)])
async def test_length_of_a_display_name(anna: Person, length: int, fits: bool) -> None:
    """1 to 64 characters, in whatever script."""
    name = "ễ" * length
    assert (200 if fits else 422) == (await anna.call("PATCH", "/users/me", {"display_name": name})).status_code
    body = {"username": f"d{anna.username[:20]}", "password": PASSWORD_MARK, "display_name": name}
    assert (201 if fits else 422) == (await anna.world.call("POST", "/auth/register", json=body)).status_code


@pytest.mark.parametrize("name", [" ", "\t\n", "a\0b"])
async def test_a_display_name_says_something(anna: Person, name: str) -> None:
    """Blank is no name, and NUL no character."""
    await anna.refused(422, "validation_failed", "PATCH", "/users/me", {"display_name": name})


CONTENTS = [
    ("", False),
    (" \n\t\u2003 ", False),
    ("x", True),
    ("x" * 4000, True),
    ("x" * 4001, False),
    ("🎉" * 4000, True),
    ("🎉" * 4001, False),
    (" " * 50 + "x" * 4000 + "\n" * 50, True),
    ("a\0b", False),
    ("\0", False),
    ("\ud800", False),
    ('<script>"\\u0000"</script>', True),
    ("\u202e\u2028\u2029\u200d", True),
]


async def test_content(anna: Person, ben: Person) -> None:
    """1 to 4000 characters after trimming, no NUL: of messages by either way, of edits, posts and comments alike."""
    direct, post, socket = await anna.talk(ben), await anna.publish(), await anna.chat()
    message = await anna.say(direct)
    for content, fits in CONTENTS:
        for method, path in (
            ("POST", f"/conversations/{direct}/messages"),
            ("PATCH", f"/conversations/{direct}/messages/{message['id']}"),
            ("POST", "/posts"),
            ("POST", f"/posts/{post}/comments"),
        ):
            answer = await anna.call(method, path, {"content": content})
            if fits:
                assert answer.is_success, (path, content[:9], answer.text)
                assert content.strip() == answer.json()["content"]
            else:
                # A lone surrogate is no text at all, and may be refused with the JSON that holds it.
                assert answer.json()["code"] in ("validation_failed", "malformed_json"), (
                    path,
                    content[:9],
                    answer.text,
                )
        answer = await socket.answer("send_message", conversation_id=direct, content=content)
        assert ("ack" if fits else "error") == answer["type"], answer
        assert fits is False or content.strip() == answer["data"]["content"]
    sent = sum(2 for _, fits in CONTENTS if fits)
    assert 1 + sent == (await anna.get(f"/conversations/{direct}"))["last_seq"]


async def test_length_of_a_nonce(anna: Person, ben: Person) -> None:
    """At most 64 characters."""
    direct, post, socket = await anna.talk(ben), await anna.publish(), await anna.chat()
    for length, fits in ((1, True), (64, True), (65, False)):
        body = {"content": words(), "nonce": "ü" * length}
        for path in (f"/conversations/{direct}/messages", f"/posts/{post}/comments"):
            answer = await anna.call("POST", path, body)
            assert (answer.status_code in (200, 201)) is fits, answer.text
        answered = await socket.answer("send_message", conversation_id=direct, **body)
        assert ("ack" if fits else "error") == answered["type"]


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


async def test_wrong_frames(anna: Person, ben: Person) -> None:
    """Each is answered by one `error` with its ref that names the field; the socket stays open, nothing is stored."""
    direct = await anna.talk(ben)
    socket: Socket = await anna.chat()

    def place(value: Json) -> Json:
        if isinstance(value, dict):
            return {place(key): place(item) for key, item in value.items()}
        if isinstance(value, list):
            return [place(item) for item in value]
        return value.replace("{direct}", direct) if isinstance(value, str) else value

    for frame, field in FRAMES:
        fields = place(frame)
        type_ = fields.pop("type", "(none)")
        ref = f"f-{len(socket.seen)}"
        await socket.raw(json.dumps({"ref": ref, **({} if type_ == "(none)" else {"type": type_}), **fields}))
        answer = await socket.answer_to(ref)
        assert ("error", "validation_failed") == (answer["type"], answer["code"]), (frame, answer)
        assert field in {error["field"].partition(".")[0] for error in answer["errors"]}, (frame, answer)
    await socket.fence()
    assert [] == socket.left()
    assert 0 == (await anna.get(f"/conversations/{direct}"))["last_seq"]


@pytest.mark.parametrize("user_ids", [None, "", "x", ",", "{anna},x", "{anna},,", ",".join(["0" * 24] * 201)])
async def test_presence_of_nobody(anna: Person, user_ids: str | None) -> None:
    """`user_ids` is a list of 1 to 200 ids; whether an empty place in it is overlooked is not said."""
    query = {} if user_ids is None else {"user_ids": user_ids.format(anna=anna.id)}
    answer = await anna.call("GET", "/presence", params=query)
    assert 422 == answer.status_code or (user_ids == "{anna},," and [anna.id] == list(answer.json()))


async def test_ids_are_refused_as_not_there(anna: Person) -> None:
    """An id in a path that cannot be one is answered like one that nobody has; operators in it do nothing."""
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
            problem = await anna.refused(404, "not_found", method, path, body)
            missing = missing or problem
            assert missing == problem


async def test_ids_have_no_case(anna: Person, ben: Person) -> None:
    """An id written in capitals is the same id, or is refused; never another conversation or a second one."""
    direct = await anna.talk(ben)
    answer = await anna.call("POST", "/conversations", {"participant_ids": [ben.id.upper()]})
    assert (answer.status_code, answer.json().get("id")) in ((200, direct), (422, None))
    answer = await anna.call("GET", f"/conversations/{direct.upper()}")
    assert (answer.status_code, answer.json().get("id")) in ((200, direct), (404, None))
