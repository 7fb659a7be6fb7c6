"""Validation of reactions: a reaction is exactly one emoji."""

import unicodedata

import regex

from service.common.errors import ValidationFailed

MAX_CODE_POINTS = 16
"""The longest emojis in use, families and flags of regions, have 14."""

SYMBOL_CATEGORIES = {"So", "Sm", "Me"}
MODIFIER_CATEGORIES = {"Mn", "Cf", "Sk"}
KEYCAP_BASES = set("#*0123456789")
SYMBOL_PUNCTUATION = set("‼⁉〰〽")
REPLACEMENT_CHARACTER = "\ufffd"
"""Of category So like an emoji, but it replaces bytes of a URL that are not UTF-8."""
GRAPHEME_CLUSTER = regex.compile(r"\X")
"""An extended grapheme cluster, which a reader sees as one character (Unicode Standard Annex 29, section 3)."""


def parse_emoji(text: str) -> str:
    """Return `text` if it is one emoji: symbols with joiners and modifiers. Raises ValidationFailed (`emoji`).

    So a reaction is never a word, and never contains a character with a meaning in field names of the database.
    """
    categories = [unicodedata.category(character) for character in text]
    allowed = REPLACEMENT_CHARACTER not in text and all(
        category in SYMBOL_CATEGORIES | MODIFIER_CATEGORIES or character in KEYCAP_BASES | SYMBOL_PUNCTUATION
        for character, category in zip(text, categories, strict=True)
    )
    has_symbol = any(
        category in SYMBOL_CATEGORIES or character in SYMBOL_PUNCTUATION
        for character, category in zip(text, categories, strict=True)
    )
    if len(text) > MAX_CODE_POINTS or not allowed or not has_symbol or not GRAPHEME_CLUSTER.fullmatch(text):
        raise ValidationFailed.of("emoji", "This is not an emoji.")
    return text
