"""Invalid bodies of every call are rejected and change nothing."""

from typing import Any

from tests.protocol.clients import PASSWORD_MARK, Json, User, unique_text

OPERATORS: list[Json] = [{"$gt": ""}, {"$ne": None}, {"$where": "1"}, {"$regex": ".*"}]
WRONG_TYPES: list[Json] = [None, True, 1, 1.5, [], ["x"], {}]


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


async def bodies_of(anna: User, ben: User) -> list[Body]:
    group = await anna.start_conversation(ben, title="A group")
    message = await anna.send_message(group)
    post = await anna.create_post()
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
        Body("PATCH", in_group, {"title": "X", "history": "all"}),
        Body("POST", f"{in_group}/participants", {}, {"user_ids": [ben.id]}),
        Body("PATCH", f"{in_group}/participants/{ben.id}", {}, {"role": "admin"}),
        Body(
            *("POST", f"{in_group}/messages"),
            {"content": unique_text(), "nonce": "n", "reply_to": message["id"]},
            None,
            "nonce reply_to",
        ),
        Body("PATCH", f"{in_group}/messages/{message['id']}", {"content": unique_text()}),
        Body("PUT", f"{in_group}/read", {}, {"seq": 1}),
        Body("POST", "/posts", {"content": unique_text()}),
        Body(
            *("POST", f"/posts/{post}/comments"),
            {"content": unique_text(), "nonce": "n", "parent_id": post},
            None,
            "nonce parent_id",
        ),
        Body("PUT", "/notifications/read", {}, {"up_to_seq": 1}),
    ]


async def test_an_invalid_field_is_rejected_with_its_name(anna: User, ben: User) -> None:
    """Values of another type, operators of the database and unknown fields get 422, and nothing is stored."""
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
    await anna.sign_in_again()


async def test_a_missing_required_field_is_named(anna: User, ben: User) -> None:
    required = {"username", "password", "refresh_token", "current_password", "new_password", "content"}
    required |= {"participant_ids", "user_ids", "seq", "up_to_seq", "role"}
    for body in await bodies_of(anna, ben):
        for field in required & set(body.right):
            less = {name: value for name, value in body.right.items() if name != field}
            problem = await anna.expect_error(422, "validation_failed", body.method, body.path, less)
            assert [field] == [error["field"] for error in problem["errors"]]


async def test_invalid_json_gets_another_error_than_an_invalid_field(anna: User, ben: User) -> None:
    for body in await bodies_of(anna, ben):
        for raw in (b"", b"{", b"{'a': 1}", b'{"a": NaN}', b"\xff\xfe", b'{"content": "\xff"}', b"{} {}", b"[" * 5000):
            headers = anna.bearer | {"Content-Type": "application/json"}
            answer = await anna.clients.call(body.method, body.path, headers=headers, content=raw)
            assert 400 <= answer.status_code < 500, (body.path, raw[:20], answer.text)
            assert answer.json()["code"] in ("malformed_json", "validation_failed"), (body.path, raw[:20], answer.text)
        headers = anna.bearer | {"Content-Type": "application/json"}
        answer = await anna.clients.call(body.method, body.path, headers=headers, content=b"{")
        assert (400, "malformed_json") == (answer.status_code, answer.json()["code"])


async def test_a_body_that_is_too_large_gets_413(anna: User, ben: User) -> None:
    """It gets 413 with or without Content-Length, and the next request is answered."""
    for body in await bodies_of(anna, ben):
        large = {**body.right, next(iter(body.right)): "x" * 70_000}
        await anna.expect_error(413, "too_large", body.method, body.path, large)
    headers = anna.bearer | {"Content-Type": "application/json"}

    async def chunks() -> Any:
        yield b'{"content": "'
        for _ in range(200):
            yield b"x" * 10_000
        yield b'"}'

    answer = await anna.clients.call("POST", "/posts", headers=headers, content=chunks())
    assert (413, "too_large") == (answer.status_code, answer.json()["code"])
    await anna.get("/users/me")
