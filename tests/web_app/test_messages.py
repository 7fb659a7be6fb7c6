"""The page's words, in each language."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.http.errors import ERRORS
from service.web.routes import ROOT

APP = ROOT / "app"
PLURALS = {"en": {"one", "other"}, "vi": {"other"}}
"""What the languages tell apart, by Unicode CLDR."""


def messages(language: str) -> dict[str, Any]:
    return dict(json.loads((APP / f"messages/{language}.json").read_text()))


def words(message: str | dict[str, str]) -> set[str]:
    """What is filled in."""
    forms = message.values() if isinstance(message, dict) else [message]
    return {word for form in forms for word in re.findall(r"\{(\w+)\}", form)}


def modules() -> list[Path]:
    return sorted(APP.glob("*.js"))


@pytest.mark.parametrize("language", ["vi"])
def test_each_language_says_everything(language: str) -> None:
    """The same messages with the same words filled in, and the plural forms of the language."""
    english, other = messages("en"), messages(language)
    assert list(english) == list(other)
    for name, message in english.items():
        assert words(message) == words(other[name]), name
        if isinstance(message, dict):
            assert PLURALS["en"] == set(message), name
            assert PLURALS[language] == set(other[name]), name


def test_every_message_asked_for_is_there() -> None:
    """A missing one is an error, and only on the screen that asks for it."""
    asked = {name for module in modules() for name in re.findall(r"\bt\(\s*\"([\w.]+)\"", module.read_text())}
    assert len(asked) > 100
    assert set() == asked - set(messages("en"))


def test_every_message_is_asked_for() -> None:
    """Nobody translates what nobody reads."""
    text = "".join(module.read_text() for module in modules())
    made = re.compile(r"(error|invalid|field|notifications\.NEW|connection|sign_in|register)[._]")
    assert [] == [name for name in messages("en") if f'"{name}"' not in text and not made.match(name)]


def test_every_error_has_words() -> None:
    """Of the server's codes, those that a person can meet."""
    unmet = {"malformed_json", "origin_not_allowed", "unsupported_media_type"}
    codes = {answer.code for answer in ERRORS.values()} - unmet
    assert set() == {f"error.{code}" for code in codes} - set(messages("en"))
