"""Bodies that servers may send."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.server_api.links import check_link
from service.server_api.models import MAX_EXTRA_DEPTH, NewNotification, NewToken


def nested(levels: int) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for _ in range(levels - 1):
        extra = {"a": extra}
    return extra


def refused_fields(**fields: Any) -> list[Any]:
    """The fields of a NewNotification that are refused, with these among others that are valid."""
    try:
        NewNotification.model_validate({"type": "ORDER_SHIPPED", "to": ["a"], "preview": "Hello", **fields})
    except ValidationError as error:
        return [problem["loc"][0] for problem in error.errors()]
    return []


@pytest.mark.parametrize(
    "link",
    [
        "/orders/7",
        "orders/7?a=1#b",
        "?page=2",
        "#/c/1",
        "/tìm?q=phở",
        "https://shop.example/a",
        "http://localhost:3000/",
        "HTTPS://shop.example",
        "/a//b",
    ],
)
def test_links_are_relative_or_http(link: str) -> None:
    assert link == check_link(link)


@pytest.mark.parametrize(
    "link",
    [
        *(
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\tscript:alert(1)",
            " javascript:alert(1)",
            "\x01javascript:x",
        ),
        *("data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://a.example/", "mailto:a@b.example", "x:y"),
        *("http:a", "http:/a", "https://", "http://[::1", "https://user:word@a.example/", "https://user@a.example/"),
        *(
            "//evil.example",
            "//evil.example/a",
            "///evil.example",
            "//",
            "/\t/evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/a b",
            "/a\nb",
            "/\u202eb",
            "/\u200b",
            '/"onclick="',
            "/<b>",
            "/a\x00",
        ),
    ],
)
def test_other_links_are_refused(link: str) -> None:
    with pytest.raises(ValueError, match=r"URL|credentials"):
        check_link(link)


@pytest.mark.parametrize("type", ["NEW_COMMENT", "NEW_REPLY", "NEW_MENTION", "NEW_REACTION"])
def test_built_in_types_cannot_be_sent(type: str) -> None:
    """What they say is Loa's own to say."""
    assert ["type"] == refused_fields(type=type)


def test_types_are_capitals_digits_and_underscores() -> None:
    assert not [type for type in ("A1", "ORDER_SHIPPED", "NEW_ORDER", "A" * 64) if refused_fields(type=type)]
    bad = ["", "A", "A" * 65, "order", "Order", "1A", "_A", "A-B", "A B", "AB\n", "ÀB", "hello", 7, None]
    assert bad == [type for type in bad if refused_fields(type=type)]


def test_extra_is_an_object_of_at_most_2_kb() -> None:
    """Bytes of JSON, as it is stored and sent."""
    overhead = len('{"a":""}')
    for extra in [
        {},
        {"a": "x" * (2048 - overhead)},
        {"a": "ồ" * ((2048 - overhead) // 3)},
        {"a": [1, None, True, 0.5]},
    ]:
        assert not refused_fields(extra=extra), extra
    for extra in [{"a": "x" * (2049 - overhead)}, {"a": "ồ" * ((2048 - overhead) // 3 + 1)}, [], "x", 1]:
        assert ["extra"] == refused_fields(extra=extra), extra


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")], ids=["nan", "inf", "-inf"])
def test_extra_has_finite_numbers(number: float) -> None:
    """JSON has no others, though some parsers accept them."""
    assert ["extra"] == refused_fields(extra={"a": [{"b": number}]})


def test_extra_has_a_limited_depth() -> None:
    assert not refused_fields(extra=nested(MAX_EXTRA_DEPTH))
    assert ["extra"] == refused_fields(extra=nested(MAX_EXTRA_DEPTH + 1))
    assert ["extra"] == refused_fields(extra={"a": [[]] * 3 + [nested(MAX_EXTRA_DEPTH)]})


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("to", [["a"], ["a"] * 1000, ["x" * 255]], [[], ["a"] * 1001, ["x" * 256], [""], ["\0"], "a", [1]]),
        ("preview", ["a", "a" * 4000], ["", " ", "a" * 4001, "\0"]),
        ("nonce", ["a", "a" * 64], ["", "a" * 65, "\0"]),
        ("group_key", ["order-7", "a" * 128], ["", "a" * 129, "\n"]),
        ("sender", ["a", None], ["", "x" * 256]),
        ("url", [None, "/" + "a" * 2047], ["", "/" + "a" * 2048]),
        ("unknown", [], [1]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fields_are_limited(field: str, good: list[Any], bad: list[Any]) -> None:
    assert not [value for value in good if refused_fields(**{field: value})]
    assert bad == [value for value in bad if [field] == refused_fields(**{field: value})]


@pytest.mark.parametrize("seconds", [59, 86_401, 0, -1, "60", 60.5])
def test_a_token_lives_from_a_minute_to_a_day(seconds: object) -> None:
    assert [60, 86_400] == [NewToken.model_validate({"expires_in": each}).expires_in for each in (60, 86_400)]
    with pytest.raises(ValidationError):
        NewToken.model_validate({"expires_in": seconds})
