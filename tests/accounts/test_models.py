"""What may come into accounts, and what is refused at the door."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.accounts.models import Login, PasswordChange, ProfileChange, Refresh, Register, UserSearch

GOOD = {"username": "an.nguyen", "password": "correct horse"}


def test_a_username_is_folded_before_it_is_checked() -> None:
    """`An.Nguyen` and `an.nguyen` are one name."""
    assert "an.nguyen_2" == Register.model_validate(GOOD | {"username": "An.NGUYEN_2"}).username


@pytest.mark.parametrize("username", ["abc", "a" * 32, "0.9", "___"])
def test_a_username_at_its_bounds_is_accepted(username: str) -> None:
    """3 and 32 characters of a-z, 0-9, _ and . are fine."""
    assert username == Register.model_validate(GOOD | {"username": username}).username


@pytest.mark.parametrize(
    "username",
    ["ab", "a" * 33, "", "an nguyen", "an-nguyen", "an@x.vn", "ánh", "\u212aim", "abc\n", "abc\0", "\ud800abc", " abc"],
)
def test_a_username_of_other_characters_is_refused(username: str) -> None:
    """The Kelvin sign among them, which Unicode would fold to a `k`."""
    with pytest.raises(ValidationError):
        Register.model_validate(GOOD | {"username": username})


@pytest.mark.parametrize("password", ["a" * 8, "a" * 128, "mật khẩu dài", "        "])
def test_a_password_within_its_bounds_is_accepted(password: str) -> None:
    """8 to 128 characters of any kind, and none of them is trimmed."""
    assert password == Register.model_validate(GOOD | {"password": password}).password


@pytest.mark.parametrize("password", ["a" * 7, "a" * 129, "", "eight\0chars", "eight chars\udc80"])
def test_a_password_out_of_bounds_is_refused(password: str) -> None:
    """Too short, too long, with a NUL, or with half a character."""
    with pytest.raises(ValidationError):
        Register.model_validate(GOOD | {"password": password})
    with pytest.raises(ValidationError):
        PasswordChange.model_validate({"current_password": "correct horse", "new_password": password})


@pytest.mark.parametrize("name", ["A", " Ánh Nguyễn ", "x" * 64, "👩‍👩‍👧", "משה", "  " + "x" * 64 + "\n"])
def test_a_display_name_is_trimmed(name: str) -> None:
    """1 to 64 characters are what is left after trimming, joiners of emoji included."""
    assert name.strip() == Register.model_validate(GOOD | {"display_name": name}).display_name
    assert name.strip() == ProfileChange.model_validate({"display_name": name}).display_name


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 65, "a\nb", "a\0b", "a\x1bb", "\u200b", "a\u202eb", "a\u2028b", "\udfff"]
)
def test_a_display_name_that_cannot_be_shown_is_refused(name: str) -> None:
    """Control characters, characters that turn the text around, and nothing to see at all."""
    with pytest.raises(ValidationError):
        Register.model_validate(GOOD | {"display_name": name})
    with pytest.raises(ValidationError):
        ProfileChange.model_validate({"display_name": name})


@pytest.mark.parametrize(
    "avatar",
    [
        "https://example.org",
        "http://example.org:8080/a.png?s=64#x",
        "https://ví-dụ.vn/ảnh.png",
        "HTTPS://EXAMPLE.ORG/a",
    ],
)
def test_an_avatar_stays_as_it_was_written(avatar: str) -> None:
    """An http(s) URL is kept to the letter."""
    assert avatar == ProfileChange.model_validate({"avatar": avatar}).avatar


@pytest.mark.parametrize(
    "avatar",
    [
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AA==",
        "ftp://example.org/a",
        "//example.org/a.png",
        "/a.png",
        "https://",
        "https:///a.png",
        "https:example.org",
        "https://user:secret@example.org/a.png",
        "https://example.org@evil.example/a.png",
        "https://example.org\\@evil.example/a.png",
        'https://example.org/"onerror="alert(1)',
        "https://example.org/a b",
        "https://example.org/a\nb",
        " https://example.org/a",
        "https://example.org:port/",
        "https://[::1/",
        "https://example.org/" + "a" * 2048,
    ],
)
def test_an_avatar_that_is_no_web_address_is_refused(avatar: str) -> None:
    """Other schemes, no host, hidden users, and what would break out of an attribute."""
    with pytest.raises(ValidationError):
        ProfileChange.model_validate({"avatar": avatar})


def test_an_avatar_can_be_taken_away_but_a_name_cannot() -> None:
    """Null is a value of `avatar` only; what is left out is not set."""
    assert {"avatar": None} == ProfileChange.model_validate({"avatar": None}).model_dump(exclude_unset=True)
    assert {} == ProfileChange.model_validate({}).model_dump(exclude_unset=True)
    with pytest.raises(ValidationError):
        ProfileChange.model_validate({"display_name": None})


@pytest.mark.parametrize("value", [{"$ne": None}, {"$gt": ""}, ["an.nguyen"], 12345678, True, None, 1.5])
@pytest.mark.parametrize(
    ("model", "good", "field"),
    [
        (Register, GOOD, "username"),
        (Register, GOOD, "password"),
        (Login, GOOD, "username"),
        (Login, GOOD, "password"),
        (Refresh, {"refresh_token": "x"}, "refresh_token"),
        (PasswordChange, {"current_password": "x", "new_password": "x" * 8}, "current_password"),
        (PasswordChange, {"current_password": "x", "new_password": "x" * 8}, "new_password"),
    ],
)
def test_an_operator_in_place_of_a_text_is_refused(model: Any, good: dict[str, Any], field: str, value: Any) -> None:
    """What reaches a query is a string and nothing else."""
    model.model_validate(good)
    with pytest.raises(ValidationError):
        model.model_validate(good | {field: value})


@pytest.mark.parametrize(
    ("model", "good"),
    [
        (Register, GOOD),
        (Login, GOOD),
        (Refresh, {"refresh_token": "x"}),
        (PasswordChange, {"current_password": "x", "new_password": "x" * 8}),
        (ProfileChange, {}),
        (UserSearch, {"query": "an"}),
    ],
)
def test_an_unknown_field_is_refused(model: Any, good: dict[str, Any]) -> None:
    """A field that is not ours is a mistake, or `password_hash`."""
    with pytest.raises(ValidationError):
        model.model_validate(good | {"password_hash": "x"})


def test_signing_in_takes_names_that_nobody_can_have() -> None:
    """They get the answer of names that nobody has; so do passwords that nobody can have."""
    assert "x" == Login(username="X", password="y").username


@pytest.mark.parametrize("field", ["username", "password"])
def test_signing_in_takes_nothing_endless(field: str) -> None:
    """What would only be hashed and thrown away is refused before."""
    with pytest.raises(ValidationError):
        Login.model_validate(GOOD | {field: "x" * 129})


@pytest.mark.parametrize("limit", ["0", "51", "-1", "x", "1.5"])
def test_a_search_has_a_bounded_page(limit: str) -> None:
    """1 to 50."""
    assert 50 == UserSearch.model_validate({"query": "an", "limit": "50"}).limit
    with pytest.raises(ValidationError):
        UserSearch.model_validate({"query": "an", "limit": limit})


@pytest.mark.parametrize("query", ["", "  ", "x" * 65, "\ud800"])
def test_a_search_has_a_bounded_query(query: str) -> None:
    """1 to 64 characters after trimming."""
    with pytest.raises(ValidationError):
        UserSearch.model_validate({"query": query})


def test_secrets_are_not_in_what_is_printed() -> None:
    """A model that ends up in a traceback shows no password and no token."""
    shown = repr(
        [
            Register(username="abc", password="correct horse"),
            Login(username="abc", password="correct horse"),
            Refresh(refresh_token="correct horse"),
            PasswordChange(current_password="correct horse", new_password="correct horse"),
        ]
    )
    assert "correct horse" not in shown
