"""The words of pushes."""

import pytest

from service.push.texts import LANGUAGES, TEXTS, counted, preferred_language


def test_every_language_has_every_text() -> None:
    assert set(LANGUAGES) == TEXTS.keys()
    assert 1 == len({frozenset(texts) for texts in TEXTS.values()})


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("vi", "vi"),
        ("vi-VN,vi;q=0.9,en;q=0.8", "vi"),
        ("en-GB,en;q=0.9,vi;q=0.8", "en"),
        ("fr, vi;q=0.5", "vi"),
        ("en;q=0, vi;q=0.001", "vi"),
        ("fr, de", "en"),
        ("vi;q=x, ;;;, \0", "en"),
        ("x" * 10_000 + ",vi", "en"),
    ],
    ids=range(9),
)
def test_the_browsers_language_is_used(header: str, language: str) -> None:
    assert language == preferred_language(header)


def test_one_is_singular() -> None:
    assert "1 unread message" == counted("en", "messages", 1)
    assert "2 unread messages" == counted("en", "messages", 2)
