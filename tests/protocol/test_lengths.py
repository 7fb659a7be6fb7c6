"""How long and of what characters things are, at both sides of each boundary, by every way in."""

import pytest

from tests.protocol.world import PASSWORD_MARK, Person, World, words


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
