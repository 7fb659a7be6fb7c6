"""Validation of the request models of accounts."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.accounts.models import Login, PasswordChange, ProfileChange, Refresh, Register, UserSearch

GOOD = {"username": "an.nguyen", "password": "correct horse"}


def test_a_username_is_lowercased_before_validation() -> None:
    assert "an.nguyen_2" == Register.model_validate(GOOD | {"username": "An.NGUYEN_2"}).username


@pytest.mark.parametrize("username", ["abc", "a" * 32, "0.9", "___", "deleted", "a_deleted_"])
def test_a_username_within_its_bounds_is_accepted(username: str) -> None:
    """3 to 32 characters of a-z, 0-9, _ and . are allowed."""
    assert username == Register.model_validate(GOOD | {"username": username}).username


@pytest.mark.parametrize(
    "username",
    [
        "ab",
        "a" * 33,
        "",
        "deleted_",
        "DELETED_x",
        "deleted_" + "0" * 24,
        "an nguyen",
        "an-nguyen",
        "an@x.vn",
        "ánh",
        "\u212aim",
        "abc\n",
        "abc\0",
        "\ud800abc",
        " abc",
    ],
)
def test_a_username_with_other_characters_is_rejected(username: str) -> None:
    """Among them the Kelvin sign, which Unicode case folding turns into a `k`."""
    with pytest.raises(ValidationError):
        Register.model_validate(GOOD | {"username": username})


@pytest.mark.parametrize("password", ["a" * 8, "a" * 128, "mật khẩu dài", "        "])
def test_a_password_within_its_bounds_is_accepted(password: str) -> None:
    """8 to 128 characters of any kind; whitespace is not trimmed."""
    assert password == Register.model_validate(GOOD | {"password": password}).password


@pytest.mark.parametrize("password", ["a" * 7, "a" * 129, "", "eight\0chars", "eight chars\udc80"])
def test_a_password_out_of_bounds_is_rejected(password: str) -> None:
    """Too short, too long, with a NUL, or with half of a surrogate pair."""
    with pytest.raises(ValidationError):
        Register.model_validate(GOOD | {"password": password})
    with pytest.raises(ValidationError):
        PasswordChange.model_validate({"current_password": "correct horse", "new_password": password})


@pytest.mark.parametrize("name", ["A", " Ánh Nguyễn ", "x" * 64, "👩‍👩‍👧", "משה", "  " + "x" * 64 + "\n"])
def test_a_display_name_is_trimmed(name: str) -> None:
    """1 to 64 characters remain after trimming. Emoji joiners are allowed."""
    assert name.strip() == Register.model_validate(GOOD | {"display_name": name}).display_name
    assert name.strip() == ProfileChange.model_validate({"display_name": name}).display_name


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 65, "a\nb", "a\0b", "a\x1bb", "\u200b", "a\u202eb", "a\u2028b", "\udfff"]
)
def test_a_display_name_that_cannot_be_displayed_is_rejected(name: str) -> None:
    """Control characters, bidirectional controls, and names without a visible character."""
    with pytest.raises(ValidationError):
        Register.model_validate(GOOD | {"display_name": name})
    with pytest.raises(ValidationError):
        ProfileChange.model_validate({"display_name": name})


@pytest.mark.parametrize(
    "avatar",
    [
        "https://example.org",
        "https://example.org:8080/a.png?s=64#x",
        "https://example.org./?next=http://127.0.0.1/",
        "https://ví-dụ.vn/ảnh.png",
        "HTTPS://EXAMPLE.ORG/a",
    ],
)
def test_an_avatar_url_is_kept_unchanged(avatar: str) -> None:
    assert avatar == ProfileChange.model_validate({"avatar": avatar}).avatar


@pytest.mark.parametrize(
    "avatar",
    [
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AA==",
        "ftp://example.org/a",
        "http://example.org/a.png",
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
        "https://127.0.0.1/a.png",
        "https://127.1/a.png",
        "https://0x7f.1/a.png",
        "https://2130706433/a.png",
        "https://１２７.0.0.1/a.png",
        "https://127。0。0。1/a.png",
        "https://8.8.8.8/a.png",
        "https://[::1]/a.png",
        "https://[::ffff:10.0.0.1]/a.png",
        "https://localhost/a.png",
        "https://LOCALHOST.:8443/a.png",
        "https://ｌocalhost/a.png",
        "https://%6cocalhost/a.png",
        "https://router/a.png",
        "https://app.localhost/a.png",
        "https://printer.local/a.png",
        "https://metadata.internal./a.png",
        "https://router.home.arpa/a.png",
        "https://nas.lan/a.png",
    ],
)
def test_an_avatar_that_is_not_on_a_public_host_is_rejected(avatar: str) -> None:
    """Other schemes, no host, credentials, characters that would end an HTML attribute, and addresses and names of
    local networks, however they are written."""
    with pytest.raises(ValidationError):
        ProfileChange.model_validate({"avatar": avatar})


def test_null_removes_an_avatar_but_not_a_display_name() -> None:
    """An omitted field is not set."""
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
def test_a_value_that_is_not_a_string_is_rejected(model: Any, good: dict[str, Any], field: str, value: Any) -> None:
    """No operator object can reach a database query."""
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
def test_an_unknown_field_is_rejected(model: Any, good: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(good | {"password_hash": "x"})


def test_login_accepts_usernames_that_cannot_be_registered() -> None:
    """They get the same response as usernames that nobody has."""
    assert "x" == Login(username="X", password="y").username


@pytest.mark.parametrize("field", ["username", "password"])
def test_login_limits_the_length_of_its_fields(field: str) -> None:
    """A password that is too long is rejected before it is hashed."""
    with pytest.raises(ValidationError):
        Login.model_validate(GOOD | {field: "x" * 129})


@pytest.mark.parametrize("limit", ["0", "51", "-1", "x", "1.5"])
def test_a_search_limit_is_between_1_and_50(limit: str) -> None:
    assert 50 == UserSearch.model_validate({"query": "an", "limit": "50"}).limit
    with pytest.raises(ValidationError):
        UserSearch.model_validate({"query": "an", "limit": limit})


@pytest.mark.parametrize("query", ["", "  ", "x" * 65, "\ud800"])
def test_a_search_query_has_1_to_64_characters_after_trimming(query: str) -> None:
    with pytest.raises(ValidationError):
        UserSearch.model_validate({"query": query})


def test_the_repr_of_a_model_omits_secrets() -> None:
    """A model in a traceback reveals no password and no token."""
    shown = repr(
        [
            Register(username="abc", password="correct horse"),
            Login(username="abc", password="correct horse"),
            Refresh(refresh_token="correct horse"),
            PasswordChange(current_password="correct horse", new_password="correct horse"),
        ]
    )
    assert "correct horse" not in shown
