"""Allowed lengths and characters, on both sides of each boundary, in every call."""

import json
from uuid import uuid4

import httpx
import pytest

from tests.protocol.clients import PASSWORD_MARK, Clients, User, problem, unique_text

JSON_BODY = {"Content-Type": "application/json"}


@pytest.mark.parametrize(("length", "fits"), [(2, False), (3, True), (32, True), (33, False)])
async def test_a_username_has_3_to_32_characters(clients: Clients, length: int, fits: bool) -> None:
    name = f"n{clients.server.pid:x}{length:02}".ljust(length, "z")[:length] if length > 3 else "abc"[:length]
    answer = await clients.call("POST", "/auth/register", json={"username": name, "password": PASSWORD_MARK})
    assert (201 if fits else 422) == answer.status_code


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "añb",
        "a-b-c",
        "a@b",
        "abc\0",
        "abc\n",
        " abcd",
        "ａｂｃ",
        "İstanbul",
        "a/b",
        "ſss",
        "",
        "deleted_x",
        "DELETED_" + "0" * 24,
    ],
)
async def test_a_username_has_ascii_letters_digits_underscores_and_dots_only(clients: Clients, name: str) -> None:
    """Characters that look alike or case-fold to them are rejected."""
    answer = await clients.call("POST", "/auth/register", json={"username": name, "password": PASSWORD_MARK})
    assert (422, ["username"]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])


@pytest.mark.parametrize(("length", "fits"), [(7, False), (8, True), (128, True), (129, False)])
async def test_a_password_has_8_to_128_characters(clients: Clients, length: int, fits: bool) -> None:
    """Not bytes; at registration and at a change."""
    anna = await clients.user()
    password = ("ü" + PASSWORD_MARK * 9)[:length]
    body = {"username": f"p{anna.username[:20]}", "password": password}
    assert (201 if fits else 422) == (await clients.call("POST", "/auth/register", json=body)).status_code
    change = {"current_password": anna.password, "new_password": password}
    assert (200 if fits else 422) == (await anna.call("POST", "/auth/password", change)).status_code
    anna.password = password if fits else anna.password
    await anna.sign_in_again()


@pytest.mark.parametrize("password", ["password", "12345678", "QWERTYUIOP", "aaaaaaaa", "{username}"])
async def test_a_common_password_is_rejected_with_the_reason(clients: Clients, password: str) -> None:
    user = await clients.user()
    for path, field, body in (
        ("/auth/register", "password", {"username": f"c{uuid4().hex[:20]}"}),
        ("/auth/password", "new_password", {"current_password": user.password}),
    ):
        chosen = password.format(username=body.get("username", user.username))
        found = await user.expect_error(422, "validation_failed", "POST", path, body | {field: chosen})
        ((named, reason),) = [(error["field"], error["message"]) for error in found["errors"]]
        assert field == named
        assert "Choose another password" in reason
    await user.sign_in_again()


@pytest.mark.parametrize(("length", "fits"), [(0, False), (1, True), (64, True), (65, False)])
async def test_a_display_name_has_1_to_64_characters(anna: User, length: int, fits: bool) -> None:
    """In any script."""
    name = "ễ" * length
    assert (200 if fits else 422) == (await anna.call("PATCH", "/users/me", {"display_name": name})).status_code
    body = {"username": f"d{anna.username[:20]}", "password": PASSWORD_MARK, "display_name": name}
    assert (201 if fits else 422) == (await anna.clients.call("POST", "/auth/register", json=body)).status_code


FAMILY = "👨‍👩‍👧"
WRITTEN = [
    # The text, and whether it is accepted as content (of messages, posts, comments) and as a name (of users, groups).
    ("", False, False),
    (" \n\t\u2003 ", False, False),
    ("x", True, True),
    ("  Nguyễn Ăn\n", True, True),
    ("مرحبا می‌خواهم", True, True),
    ("שלום (1)\u200f", True, True),
    (f"{FAMILY} 🇻🇳 ❤️ 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", True, True),
    ("e\u0301", True, True),
    # Nothing to see.
    ("\u200b", False, False),
    ("\u2060", False, False),
    ("\ufeff", False, False),
    ("\u00ad", False, False),
    ("\u3164", False, False),
    ("\u2800", False, False),
    ("\u202e", False, False),
    ("\u200d\ufe0f", False, False),
    ("\u0301", False, False),
    ("\u202e\u2028\u2029\u200d", False, False),
    # What disturbs other names is content all the same.
    ("a\nb", True, False),
    ("a\u202eb", True, False),
    ("a\u2066b", True, False),
    ("a\u200bb", True, False),
    ("a\u2028b", True, False),
    ("An\u200dna", True, False),
    ("Anna\u3164", True, False),
    ("Anna\ufe0f", True, False),
    # What is no text, or could harm a database or client.
    ("a\0b", False, False),
    ("\0", False, False),
    ("\ud800", False, False),
    ('<script>"\\u0000"</script>', True, True),
]
LENGTHS = [
    ("x" * 4000, True),
    ("x" * 4001, False),
    ("🎉" * 4000, True),
    ("🎉" * 4001, False),
    (" " * 50 + "x" * 4000 + "\n" * 50, True),
]


async def test_content_has_1_to_4000_visible_characters(anna: User, ben: User) -> None:
    """After trimming, without NUL; in messages, edits, posts and comments."""
    direct, post, socket = await anna.start_conversation(ben), await anna.create_post(), await anna.chat_socket()
    message = await anna.send_message(direct)
    cases = [*((text, fits) for text, fits, _ in WRITTEN), *LENGTHS]
    for content, fits in cases:
        for method, path in (
            ("POST", f"/conversations/{direct}/messages"),
            ("PATCH", f"/conversations/{direct}/messages/{message['id']}"),
            ("POST", "/posts"),
            ("POST", f"/posts/{post}/comments"),
        ):
            answer = await anna.call(method, path, {"content": content})
            check_written(answer, "content", content, fits)
        answered = await socket.answer("send_message", conversation_id=direct, content=content)
        assert ("ack" if fits else "error") == answered["type"], answered
        assert fits is False or content.strip() == answered["data"]["content"]
    sent = sum(2 for _, fits in cases if fits)
    assert 1 + sent == (await anna.get(f"/conversations/{direct}"))["last_seq"]


async def test_titles_and_display_names_cannot_hide_or_reverse_text(anna: User, ben: User) -> None:
    group = await anna.start_conversation(ben, title="a group")
    for name, _, fits in WRITTEN:
        body = {"participant_ids": [ben.id], "title": name}
        check_written(await anna.call("POST", "/conversations", body), "title", name, fits)
        check_written(await anna.call("PATCH", f"/conversations/{group}", {"title": name}), "title", name, fits)
        check_written(await anna.call("PATCH", "/users/me", {"display_name": name}), "display_name", name, fits)
        registration = {"username": f"w{uuid4().hex[:20]}", "password": PASSWORD_MARK, "display_name": name}
        answer = await anna.clients.call("POST", "/auth/register", content=json.dumps(registration), headers=JSON_BODY)
        check_written(answer, "display_name", name, fits)


def check_written(answer: httpx.Response, field: str, text: str, fits: bool) -> None:
    where = (answer.request.url.path, ascii(text[:20]), answer.text[:200])
    if fits:
        assert answer.is_success, where
        found = answer.json()
        assert text.strip() == found.get("user", found)[field], where
    elif text == "\ud800":
        # A lone surrogate is no text at all, and may be refused with the JSON that holds it.
        assert answer.json()["code"] in ("validation_failed", "malformed_json"), where
    else:
        problem(answer, 422, "validation_failed")
        assert [field] == [error["field"] for error in answer.json()["errors"]], where


@pytest.mark.parametrize("last", [FAMILY, "🇻🇳", "👍🏽", "e\u0301", "xx"])
async def test_a_preview_ends_between_graphemes(anna: User, ben: User, last: str) -> None:
    """It has at most 140 characters."""
    post = await ben.create_post()
    stream = await ben.stream()
    for text, preview in (("x" * 139 + last + " more", "x" * 139), ("x" * (140 - len(last)) + last + " more", None)):
        await anna.post(f"/posts/{post}/comments", {"content": text})
        expected = preview if preview and last != "xx" else text[:140]
        assert expected == (await stream.event("NEW_COMMENT"))["data"]["preview"]


async def test_a_nonce_has_at_most_64_characters(anna: User, ben: User) -> None:
    direct, post, socket = await anna.start_conversation(ben), await anna.create_post(), await anna.chat_socket()
    for length, fits in ((1, True), (64, True), (65, False)):
        body = {"content": unique_text(), "nonce": "ü" * length}
        for path in (f"/conversations/{direct}/messages", f"/posts/{post}/comments"):
            answer = await anna.call("POST", path, body)
            assert (answer.status_code in (200, 201)) is fits, answer.text
        answered = await socket.answer("send_message", conversation_id=direct, **body)
        assert ("ack" if fits else "error") == answered["type"]
