"""The browser app's texts in each language."""

import json
import re
from typing import Any

import pytest

from service.http.errors import ERRORS
from service.web.routes import ROOT

APP = ROOT / "app"
PLURAL_FORMS = {"en": {"one", "other"}, "vi": {"other"}}
"""The plural categories of each language (Unicode CLDR)."""


def messages(language: str) -> dict[str, Any]:
    return dict(json.loads((APP / f"messages/{language}.json").read_text()))


def placeholders(message: str | dict[str, str]) -> set[str]:
    forms = message.values() if isinstance(message, dict) else [message]
    return {name for form in forms for name in re.findall(r"\{(\w+)\}", form)}


def sources() -> list[str]:
    """Return the texts of all JavaScript modules."""
    return [module.read_text() for module in sorted(APP.glob("*.js"))]


@pytest.mark.parametrize("language", ["vi"])
def test_translations_have_the_same_keys_and_placeholders(language: str) -> None:
    """A plural message has the forms that its language distinguishes."""
    english, translated = messages("en"), messages(language)
    assert list(english) == list(translated)
    for key, message in english.items():
        assert placeholders(message) == placeholders(translated[key]), key
        if isinstance(message, dict):
            assert PLURAL_FORMS["en"] == set(message), key
            assert PLURAL_FORMS[language] == set(translated[key]), key


def test_every_key_in_use_exists() -> None:
    """A missing message would raise only on the screen that shows it."""
    used = {key for source in sources() for key in re.findall(r"\bt\(\s*\"([\w.]+)\"", source)}
    assert len(used) > 100
    assert set() == used - set(messages("en"))


def test_every_message_is_used() -> None:
    text = "".join(sources())
    names = r"error|invalid|field|notifications\.NEW|settings|connection|sign_in|register|reset"
    computed_keys = re.compile(rf"({names})[._]")
    assert [] == [key for key in messages("en") if f'"{key}"' not in text and not computed_keys.match(key)]


def test_every_error_code_has_a_message() -> None:
    """Except for codes that the browser app cannot cause."""
    impossible = {"malformed_json", "origin_not_allowed", "unsupported_media_type", "key_invalid"}
    codes = {error.code for error in ERRORS.values()} - impossible
    assert set() == {f"error.{code}" for code in codes} - set(messages("en"))
