"""What may stand as a reaction."""

import unicodedata

import regex

from service.common.errors import ValidationFailed

MAX_CODE_POINTS = 16
"""The longest in use, families and flags of regions, have 14."""

PICTURES = {"So", "Sm", "Me"}
JOINERS = {"Mn", "Cf", "Sk"}
KEYCAPS = set("#*0123456789")
EXCLAMATIONS = set("‼⁉〰〽")
REPLACEMENT = "\ufffd"
"""A symbol too, but it stands where the bytes of a URL were no text."""
ONE_CHARACTER = regex.compile(r"\X")
"""What a reader sees as one: an extended grapheme cluster (Unicode Standard Annex 29, 3)."""


def reaction(text: str) -> str:
    """`text`, if it is one emoji: symbols and what joins and varies them. Raises ValidationFailed.

    So a reaction is never a word, and never a character that means something in a field name of the database.
    """
    categories = [unicodedata.category(character) for character in text]
    known = REPLACEMENT not in text and all(
        category in PICTURES | JOINERS or character in KEYCAPS | EXCLAMATIONS
        for character, category in zip(text, categories, strict=True)
    )
    shown = any(
        category in PICTURES or character in EXCLAMATIONS for character, category in zip(text, categories, strict=True)
    )
    if len(text) > MAX_CODE_POINTS or not known or not shown or not ONE_CHARACTER.fullmatch(text):
        raise ValidationFailed.of("emoji", "It is not an emoji.")
    return text
